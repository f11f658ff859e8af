"""What an export starts from: a pipeline whose networks are loaded one at a time."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch
import transformers
from accelerate import init_empty_weights
from diffusers import DiffusionPipeline
from torch import nn

LISTED = 10  # of the names at fault
# Judges of finished pictures and encoders of given ones: a prompt becomes a picture without them.
UNUSED = ("safety_checker", "feature_extractor", "image_encoder", "watermark")


@dataclass
class Part:
    """A network of the pipeline."""

    kind: type
    config: dict
    weights: Callable[[torch.dtype], nn.Module]  # loads it at that dtype

    def empty(self) -> nn.Module:
        """With its configuration, without its weights."""
        with init_empty_weights():
            if issubclass(self.kind, transformers.PreTrainedModel):
                return self.kind(self.kind.config_class.from_dict(self.config)).eval()
            return self.kind.from_config(self.config).eval()


class Source:
    """`pipeline` has every network's configuration but no weights: those are load()ed one at a time, because a large
    network fits in memory once."""

    def __init__(self, pipeline: str, settings: dict, parts: dict[str, Part], others: dict, license: str | None = None,
                 license_files: Sequence[Path] = ()):
        """`pipeline` is the class's name, `settings` its own options, `others` its tokenizers and scheduler."""
        self.parts = parts
        self.license = license
        self.license_files = license_files
        self.loras = []  # merged into what is loaded
        self.pipeline = assemble(pipeline, settings, {name: empty(name, part) for name, part in parts.items()} | others)

    def load(self, name: str, precision: torch.dtype) -> nn.Module:
        """The network at float32, its weights rounded to `precision`, so that checks see the weights that are stored."""
        loras = [lora for lora in self.loras if name in lora.pairs]
        module = self.parts[name].weights(torch.float32 if loras else precision).eval()
        for lora in loras:
            module = lora.merge(name, module)
        return module.to(precision).to(torch.float32)


def empty(name: str, part: Part) -> nn.Module:
    with telling_where(f"{name}: its configuration makes no {part.kind.__name__}"):
        return part.empty()


@contextmanager
def telling_where(place: str) -> Iterator[None]:
    """The libraries meet a wrong value with whatever Python makes of it."""
    try:
        yield
    except Exception as error:
        first = next(iter(str(error).splitlines()), repr(error))
        reason = f"{error} is missing" if isinstance(error, KeyError) else first
        raise ValueError(f"{place}: {reason}") from error


def assemble(name: str, settings: dict, components: dict) -> DiffusionPipeline:
    pipeline = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not inspect.isclass(pipeline) or not issubclass(pipeline, DiffusionPipeline):
        raise ValueError(f"model_index.json: _class_name: {name!r} is no pipeline of diffusers")
    accepted = inspect.signature(pipeline.__init__).parameters
    unknown = [name for name in components if name not in accepted]
    if unknown:
        raise ValueError(f"model_index.json: {pipeline.__name__} has no {', '.join(unknown)}")
    absent = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", *UNUSED)
    options = {key: None for key in absent} | settings
    options |= {"requires_safety_checker": False, "add_watermarker": False}
    return pipeline(**{key: value for key, value in options.items() if key in accepted} | components)


def refuse_gaps(part: str, missing, mismatched) -> None:
    """`missing` are names, `mismatched` (name, shape, shape wanted). The libraries would go on with random weights."""
    if missing:
        raise ValueError(f"{part}: {len(missing)} tensors are missing: {shortened(sorted(missing))}")
    if mismatched:
        shapes = [f"{name} has {list(has)} instead of {list(wants)}" for name, has, wants in sorted(mismatched)]
        raise ValueError(f"{part}: shapes contradict its configuration: {shortened(shapes)}")


def shortened(names: list[str]) -> str:
    rest = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {rest} more" if rest > 0 else "")
