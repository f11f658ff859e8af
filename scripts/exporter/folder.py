"""A diffusers pipeline folder as the source of an export."""

import inspect
import json
from pathlib import Path

import diffusers
import torch
import transformers
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, AutoencoderTiny, DiffusionPipeline, SchedulerMixin, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

NETWORKS = {
    "unet": [UNet2DConditionModel], "vae": [AutoencoderKL, AutoencoderTiny],
    "text_encoder": [CLIPTextModel], "text_encoder_2": [CLIPTextModelWithProjection],
}
TOKENIZERS = ("tokenizer", "tokenizer_2")
# Judges of finished pictures and encoders of given ones: a prompt becomes a picture without them.
UNUSED = ("safety_checker", "feature_extractor", "image_encoder", "watermark")
LISTED = 10  # of the names at fault


class Folder:
    """`pipeline` has every part's configuration, but no weights: load() reads those of one part at a time."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.index = read_json(folder / "model_index.json")
        self.classes = {name: self.find_class(name, *kind) for name, kind in self.parts().items()}
        missing = {"unet", "vae", "scheduler"} - self.classes.keys()
        if missing:
            raise ValueError(f"model_index.json: the pipeline has no {', '.join(sorted(missing))}")
        if not {"text_encoder", "text_encoder_2"} & self.classes.keys():
            raise ValueError("model_index.json: the pipeline has no text_encoder")
        self.pipeline = self.assemble()

    def parts(self) -> dict[str, list]:
        """Names of those that matter -> [library, class]."""
        return {name: kind for name, kind in self.index.items()
                if isinstance(kind, list) and kind[0] is not None and name not in UNUSED}

    def find_class(self, name: str, library: str, kind: str) -> type:
        if name in NETWORKS:
            for known in NETWORKS[name]:
                if known.__name__ == kind:
                    return known
            raise ValueError(f"model_index.json: {name} is a {kind}; known are "
                             f"{', '.join(known.__name__ for known in NETWORKS[name])}")
        if name in TOKENIZERS and kind in ("CLIPTokenizer", "CLIPTokenizerFast"):
            return CLIPTokenizer
        if name == "scheduler" and library == "diffusers":
            scheduler = getattr(diffusers, kind, None)
            if inspect.isclass(scheduler) and issubclass(scheduler, SchedulerMixin):
                return scheduler
        raise ValueError(f"model_index.json: {name}: {library}.{kind} is not known to the exporter")

    def assemble(self) -> DiffusionPipeline:
        name = self.index.get("_class_name")
        pipeline = getattr(diffusers, name, None) if isinstance(name, str) else None
        if not inspect.isclass(pipeline) or not issubclass(pipeline, DiffusionPipeline):
            raise ValueError(f"model_index.json: _class_name: {name!r} is no pipeline of diffusers")
        accepted = inspect.signature(pipeline.__init__).parameters
        options = {key: value for key, value in self.index.items() if key in accepted and not isinstance(value, list)}
        options |= {key: None for key in (*NETWORKS, *TOKENIZERS, *UNUSED) if key in accepted}
        options |= {key: False for key in ("requires_safety_checker", "add_watermarker") if key in accepted}
        parts = {name: self.empty(name) for name in self.classes}
        unknown = [name for name in parts if name not in accepted]
        if unknown:
            raise ValueError(f"model_index.json: {pipeline.__name__} has no {', '.join(unknown)}")
        return pipeline(**options | parts)

    def empty(self, name: str):
        """The part without its weights."""
        kind, folder = self.classes[name], self.folder / name
        if name not in NETWORKS:
            return kind.from_pretrained(folder, local_files_only=True)
        config = read_json(folder / "config.json")
        with init_empty_weights():
            if issubclass(kind, transformers.PreTrainedModel):
                return kind(kind.config_class.from_dict(config)).eval()
            return kind.from_config(config).eval()

    def load(self, name: str, precision: torch.dtype) -> nn.Module:
        """The part at float32, its weights rounded to `precision`, so that checks see the weights that are stored."""
        kind, folder = self.classes[name], self.folder / name
        dtype = "dtype" if issubclass(kind, transformers.PreTrainedModel) else "torch_dtype"
        module, found = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True,
                                             ignore_mismatched_sizes=True, variant=variant_in(folder),
                                             **{dtype: precision})
        refuse_gaps(name, found["missing_keys"], found["mismatched_keys"])
        return module.eval().to(torch.float32)


def variant_in(folder: Path) -> str | None:
    """diffusers lets a folder have only files such as diffusion_pytorch_model.fp16.safetensors."""
    weights = [file.name for file in folder.iterdir() if file.suffix in (".safetensors", ".bin")]
    if weights and all(".fp16." in name for name in weights):
        return "fp16"
    return None


def refuse_gaps(part: str, missing, mismatched) -> None:
    """Both libraries would go on with random weights."""
    if missing:
        raise ValueError(f"{part}: {len(missing)} tensors are missing: {shortened(sorted(missing))}")
    if mismatched:
        shapes = [f"{name} has {list(has)} instead of {list(wants)}" for name, has, wants in sorted(mismatched)]
        raise ValueError(f"{part}: shapes contradict its configuration: {shortened(shapes)}")


def shortened(names: list[str]) -> str:
    rest = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {rest} more" if rest > 0 else "")


def read_json(file: Path) -> dict:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{file.parent.name}/{file.name} is missing") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{file.parent.name}/{file.name} is no valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{file.parent.name}/{file.name} is no JSON object")
    return value
