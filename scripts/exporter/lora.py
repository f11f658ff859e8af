"""LoRA files merged into the networks of an export: names by diffusers, scales and sums by PEFT. src/model/lora_*.cpp
does the same at run time."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import convert_state_dict_to_peft, convert_unet_state_dict_to_peft
from diffusers.utils.state_dict_utils import StateDictType
from peft import LoraConfig, LoraModel, set_peft_model_state_dict
from torch import Tensor, nn

from .checkpoint import Checkpoint
from .manifest import sha256
from .source import shortened

COMPONENTS = ("unet", "text_encoder", "text_encoder_2")
MOST_WEIGHT = 100  # as darkroom's --lora
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)  # as darkroom reads
# How the names of the first halves end: kohya's, diffusers' of three ages, PEFT's with or without the adapter's name.
DOWN = re.compile(r"(?P<stem>.+?)(?P<lora>[._]lora(?:_linear_layer)?[._])(?P<half>down|A)(?:\.[^.]+)?\.weight")
KOHYA = re.compile(r"lora_(unet|te|te1|te2)_")
BARE = re.compile(r"(down_blocks|mid_block|up_blocks)\.")  # of the U-Net alone
OTHER_KINDS = {
    r"\.dora_scale$|\.lora_magnitude_vector": "DoRA", r"\.hada_[wt][12]": "LoHa", r"\.lokr_[wt][12]": "LoKr",
    r"\.oft_(blocks|diag|r|R)\b": "OFT", r"\.[ab][12]\.weight$": "GLoRA", r"\.on_input$": "IA3",
    r"\.(diff|diff_b|w_norm|b_norm)$": "a full difference of weights",
    r"\.lora_B(\.[^.]+)?\.bias$": "a LoRA that changes biases"}


@dataclass
class Pair:
    """The factors of one module's change, up down, with all scales but those of `Lora.settings` in them."""

    keys: list[str]  # in the file
    down: Tensor
    up: Tensor


class Lora:
    """A file matched with a pipeline's modules."""

    def __init__(self, word: str, pipeline: DiffusionPipeline):
        """Throws ValueError for a file that is damaged, of another kind or of another model."""
        self.file, self.weight = split(word)
        try:
            checkpoint = Checkpoint(self.file)
            refuse_other_kinds(checkpoint)
            pairs = list(pairs_in(checkpoint))
            has_alphas = any(key.endswith("alpha") for pair in pairs for key in pair.keys)
            self.settings = {} if has_alphas else settings_in(checkpoint)
            self.pairs: dict[str, dict[str, Pair]] = {}  # by component and module
            for component, module, pair in named(pairs, pipeline):
                self.add(component, module, pair, getattr(pipeline, component, None))
        except (OSError, ValueError) as error:
            raise ValueError(f"--lora {self.file}: {error}") from None
        used = {key for pairs in self.pairs.values() for pair in pairs.values() for key in pair.keys}
        self.unused = sorted(checkpoint.shapes.keys() - used)
        if not any(pair.up.any() for pairs in self.pairs.values() for pair in pairs.values()):
            holds = f": it has {shortened(self.unused)}" if self.unused else ""
            raise ValueError(f"--lora {word}: changes nothing in this model{holds}")

    def add(self, component: str, module: str, pair: Pair, network: nn.Module | None) -> None:
        """Leaves out what the network has no module for."""
        if component != "unet" and network is not None and not hasattr(network, "text_model"):
            module = module.removeprefix("text_model.")  # as transformers' CLIPTextModel since 5.6
        target = dict(network.named_modules()).get(module) if component in COMPONENTS and network is not None else None
        if not isinstance(target, nn.Linear | nn.Conv2d):
            return
        out, *rest = target.weight.shape
        try:  # matrices and convolutions of one pixel stand for each other
            down, up = pair.down.reshape(-1, *rest), pair.up.reshape(out, -1, *[1] * (len(rest) - 1))
        except RuntimeError:
            down, up = pair.down, pair.up
        if len(down) != len(pair.down) or up.shape[:2] != (out, len(down)):
            raise ValueError(f"does not fit the model: {pair.keys[0]!r} and its other half are {list(pair.down.shape)} "
                             f"and {list(pair.up.shape)}, {module!r} of {component} is {list(target.weight.shape)}")
        self.pairs.setdefault(component, {})[module] = Pair(pair.keys, down, self.weight * up)

    def merge(self, component: str, module: nn.Module) -> nn.Module:
        """The network, at float32, with the change in it."""
        pairs = self.pairs.get(component)
        if not pairs:
            return module
        tensors = {f"{name}.lora_{half}.weight": tensor for name, pair in pairs.items()
                   for half, tensor in (("A", pair.down), ("B", pair.up))}
        tuner = LoraModel(module, self.config(component), "merged", low_cpu_mem_usage=True, state_dict=tensors)
        set_peft_model_state_dict(module, tensors, "merged", low_cpu_mem_usage=True)
        return tuner.merge_and_unload()

    def config(self, component: str) -> LoraConfig:
        ranks = {f"^{re.escape(name)}": len(pair.down) for name, pair in self.pairs[component].items()}
        own = {key.removeprefix(f"{component}."): value for key, value in self.settings.items()
               if key.startswith(f"{component}.") or "." not in key}
        scales = {key: own[key] for key in ("lora_alpha", "alpha_pattern", "use_rslora") if key in own}
        if "lora_alpha" not in scales:
            scales = {"lora_alpha": 1, "alpha_pattern": ranks}
        return LoraConfig(r=1, target_modules=list(self.pairs[component]), rank_pattern=ranks, **scales)

    def entry(self) -> dict:
        """Of model.json."""
        return {"file": self.file.name, "sha256": sha256(self.file), "weight": self.weight}


def split(word: str) -> tuple[Path, float]:
    """FILE[:WEIGHT], as darkroom reads it: a colon that no number follows is the file's own."""
    file, colon, weight = word.rpartition(":")
    if not file or not colon:
        return Path(word), 1.0
    try:
        number = float(weight)
    except ValueError:
        if Path(file).is_file() and not Path(word).exists():
            raise ValueError(f"--lora {word}: the weight {weight!r} is no number") from None
        return Path(word), 1.0
    if not math.isfinite(number) or abs(number) > MOST_WEIGHT:
        raise ValueError(f"--lora {word}: the weight is out of range (allowed: -{MOST_WEIGHT} to {MOST_WEIGHT})")
    return Path(file), number


def refuse_other_kinds(checkpoint: Checkpoint) -> None:
    for key in checkpoint.shapes:
        for pattern, kind in OTHER_KINDS.items():
            if re.search(pattern, key):
                raise ValueError(f"is {kind} ({key!r}), which cannot be merged; LoRA and LoCon can")


def settings_in(checkpoint: Checkpoint) -> dict:
    """PEFT's LoraConfig, which diffusers writes beside the tensors."""
    settings = json.loads(checkpoint.metadata.get("lora_adapter_metadata", "{}"))
    if not isinstance(settings, dict):
        raise ValueError("has a lora_adapter_metadata that is no JSON object")
    for key, value in settings.items():
        name = key.rpartition(".")[2]
        if name == "lora_alpha" and not is_number(value) or name == "alpha_pattern" and not (
                isinstance(value, dict) and all(map(is_number, value.values()))):
            raise ValueError(f"has a lora_adapter_metadata whose {key} is {value!r}")
    return settings


def is_number(value) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def factor(checkpoint: Checkpoint, key: str) -> Tensor:
    """A matrix, or a convolution's weight, at float32."""
    tensor = checkpoint[key]
    if tensor.dtype not in FLOATS:
        raise ValueError(f"holds {key!r} as {str(tensor.dtype).removeprefix('torch.')}, not as float32, float16 or bfloat16")
    if tensor.ndim < 2 or 0 in tensor.shape:
        raise ValueError(f"holds {key!r} of the shape {list(tensor.shape)}")
    return tensor.float()


def alpha_in(checkpoint: Checkpoint, key: str) -> float:
    tensor = checkpoint[key]
    if tensor.numel() != 1 or not tensor.isfinite().all():
        raise ValueError(f"holds {key!r}, which is not one number")
    return tensor.item()


def pairs_in(checkpoint: Checkpoint) -> Iterator[Pair]:
    """diffusers 0.42 loses alphas that differ between modules and does not know lora_mid: both are multiplied in."""
    shapes = checkpoint.shapes
    for key in shapes:
        match = DOWN.fullmatch(key)
        other = {"down": "up", "A": "B"}[match["half"]] if match else None
        up = match and match["stem"] + match["lora"] + other + key[match.end("half"):]
        if up not in shapes:
            continue
        pair = Pair([key, up], factor(checkpoint, key), factor(checkpoint, up))
        rank, stem = len(pair.down), match["stem"]
        for alpha in (f"{stem}.alpha", f"{stem}_lora.alpha"):
            if alpha in shapes:
                pair.up = pair.up * (alpha_in(checkpoint, alpha) / rank)
                pair.keys.append(alpha)
        if (mid := f"{stem}.lora_mid.weight") in shapes:
            pair.down = torch.einsum("abyx,bi->aiyx", factor(checkpoint, mid), pair.down.flatten(1))
            pair.keys.append(mid)
        yield pair


def named(pairs: list[Pair], pipeline: DiffusionPipeline) -> Iterator[tuple[str, str, Pair]]:
    """(component, module, pair) by the names that diffusers makes of the file's."""
    owners = {id(pair.down): pair for pair in pairs}
    kohya, others = {}, {}
    for pair in pairs:
        names = kohya if KOHYA.match(pair.keys[0]) else others
        prefix = "unet." if BARE.match(pair.keys[0]) else ""
        names |= {prefix + pair.keys[0]: pair.down, prefix + pair.keys[1]: pair.up}
    if kohya:
        try:
            kohya, _ = pipeline.lora_state_dict(kohya, unet_config=pipeline.unet.config)
        except (ValueError, IndexError) as error:
            raise ValueError(f"diffusers does not know its names: {error}") from None
    for name, tensor in (kohya | others).items():
        component, _, rest = name.partition(".")
        if component == "unet":
            (rest,) = convert_unet_state_dict_to_peft({rest: tensor})
        else:
            for kind in (StateDictType.DIFFUSERS, StateDictType.DIFFUSERS_OLD):
                (rest,) = convert_state_dict_to_peft({rest: tensor}, kind)
        if id(tensor) in owners:
            yield component, rest.partition(".lora_A")[0], owners[id(tensor)]
