"""A checkpoint in one file, in the original key layout, as the source of an export."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import diffusers
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
    infer_diffusers_model_type,
)
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from .checkpoint import Checkpoint
from .layout import UNET, VAE, Shapes, clip_config, open_clip_config, under, unet_config, vae_config
from .source import Part, Source, refuse_gaps, shortened, telling_where
from .tokenizer import clip_tokenizer

# Of all of them; each adds to it.
SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000,
            "steps_offset": 1}
CLIP, CLIP_XL = "cond_stage_model.transformer.", "conditioner.embedders.0.transformer."
OPEN_CLIP, OPEN_CLIP_XL, OPEN_CLIP_REFINER = (
    "cond_stage_model.model.", "conditioner.embedders.1.model.", "conditioner.embedders.0.model.")
ENCODERS = {CLIP: "sd1", OPEN_CLIP: "sd2", OPEN_CLIP_XL: "sdxl", OPEN_CLIP_REFINER: "sdxl-refiner"}
EDM = ("edm_mean", "edm_vpred.sigma_max")  # of Playground 2.5, of CosXL
# What other files than whole models have names of tensors like.
OTHERS = {
    r".*(\.lora_(up|down|[AB])\b|\.hada_w|\.lokr_)": "a LoRA, not a model; --lora merges it into one",
    r"(control_model\.|input_hint_block\.|controlnet_)": "a ControlNet, not a model",
    r"(emb_params|string_to_param|clip_[lg])$": "a textual inversion embedding, not a model",
    r"(down_blocks|up_blocks|text_model|encoder\.down_blocks)\.": "one network of a diffusers folder: give the folder",
    r"(encoder|decoder)\.(down|up)\.\d": "an autoencoder alone; --vae puts it into a model",
    r"(input_blocks|output_blocks)\.\d": "a U-Net alone, without text encoder and autoencoder",
}


def families() -> dict[str, dict]:
    entries = json.loads(Path(__file__).with_name("families.json").read_text(encoding="utf-8"))
    return {name: entries.get(entry.get("like"), {}) | entry for name, entry in entries.items()}


def read_single_file(file: Path, name: str | None = None,
                     vae: Callable[[float], Part] | None = None) -> tuple[Source, str]:
    """The source and the name of its family, which `name` overrides. `vae` makes what replaces the file's own
    autoencoder, of a scaling factor. Throws ValueError for a file that is damaged or holds something else."""
    checkpoint = Checkpoint(file)
    shapes = readable_names(checkpoint)
    recognised = recognise(shapes, checkpoint)
    family = families()[name or recognised]
    if name and family.get("like", name) != families()[recognised].get("like", recognised):
        raise ValueError(f"--family {name}: the file's tensors are those of {recognised}")
    try:
        parts = parts_of(shapes, checkpoint, family, vae)
    except (KeyError, IndexError, StopIteration) as error:
        raise ValueError(f"no tensor {error.args[0] if error.args else ''} is in the file, without which its shape "
                         "cannot be told") from None
    others = {"scheduler": scheduler(family, shapes)}
    for encoder, tokenizer in (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")):
        if encoder in parts:
            others[tokenizer] = clip_tokenizer(parts[encoder].config["vocab_size"], family[encoder]["pad"])
    license = checkpoint.metadata.get("modelspec.license")
    return Source(family["pipeline"], family.get("settings", {}), parts, others, license), name or recognised


def readable_names(checkpoint: Checkpoint) -> Shapes:
    """Shapes by the usual names: early files of Stable Diffusion 1 leave out 'text_model.'."""
    old = re.compile(re.escape(CLIP) + r"(?=embeddings\.|encoder\.|final_layer_norm\.)")
    checkpoint.names = {old.sub(CLIP + "text_model.", name): name for name in checkpoint.shapes}
    return {name: checkpoint.shapes[original] for name, original in checkpoint.names.items()}


def recognise(shapes: Shapes, checkpoint: Checkpoint) -> str:
    for name in EDM:
        if name in shapes:
            raise ValueError(f"was trained on noise levels of EDM (its tensor {name} says so), which darkroom does not know")
    family = next((family for prefix, family in ENCODERS.items() if under(shapes, prefix)), None)
    first = shapes.get(UNET + "input_blocks.0.0.weight")
    if family is None or first is None:
        raise ValueError(f"is {other_kind(shapes, family)}")
    if first[1] == 9 and f"{family}-inpaint" in families():
        return f"{family}-inpaint"
    if family == "sd2" and predicts_v(shapes, checkpoint):
        return "sd2-v"
    return family


def other_kind(shapes: Shapes, family: str | None) -> str:
    for pattern, kind in OTHERS.items():
        if any(re.match(pattern, name) for name in shapes):
            return kind
    if UNET + "input_blocks.0.0.weight" in shapes:
        return "a U-Net without a text encoder of Stable Diffusion 1, 2 or XL"
    try:
        guess = infer_diffusers_model_type({name: torch.empty(shape, device="meta") for name, shape in shapes.items()})
    except (KeyError, ValueError):
        guess = "v1"
    if guess != "v1":  # which diffusers says of whatever it does not know
        return f"a model of the family {guess}; darkroom knows Stable Diffusion 1, 2 and XL"
    return f"no Stable Diffusion in the original layout: it has no U-Net, but {shortened(list(shapes)[:3])}"


def predicts_v(shapes: Shapes, checkpoint: Checkpoint) -> bool:
    """Stable Diffusion 2 of 768 pixels has the base's shapes. Where the file does not say, this goes by the spread of
    the last attention's norm bias, as ComfyUI does: over 0.09 where v is predicted."""
    said = checkpoint.metadata.get("modelspec.prediction_type")
    if said:
        return said == "v"
    biases = [name for name in shapes if re.match(re.escape(UNET) + r"output_blocks\.\d+\.1\..*\.0\.norm1\.bias$", name)]
    last = max(biases, key=lambda name: int(name.removeprefix(UNET).split(".")[1]), default=None)
    return last is not None and checkpoint[last].float().std(correction=0).item() > 0.09


def scheduler(family: dict, shapes: Shapes):
    """Files of XL that predict v, or were trained to zero signal, say so by an empty tensor of that name."""
    config = SCHEDULE | family["scheduler"]
    if "v_pred" in shapes:
        config["prediction_type"] = "v_prediction"
    if "ztsnr" in shapes:
        config["rescale_betas_zero_snr"] = True
    return getattr(diffusers, config["_class_name"]).from_config(config)


def parts_of(shapes: Shapes, checkpoint: Checkpoint, family: dict,
             vae: Callable[[float], Part] | None) -> dict[str, Part]:
    config = unet_config(under(shapes, UNET), family)
    parts = {"unet": part(checkpoint, UNet2DConditionModel, config, [UNET],
                          partial(convert_unet, config))}
    scaling_factor = family["scaling_factor"]
    parts["vae"] = vae(scaling_factor) if vae else vae_part(shapes, checkpoint, VAE, scaling_factor)
    for prefix, name in ((CLIP, "text_encoder"), (CLIP_XL, "text_encoder")):
        if under(shapes, prefix) and name in family:
            config = clip_config(under(shapes, prefix), family[name])
            parts[name] = part(checkpoint, CLIPTextModel, config, [prefix], convert_ldm_clip_checkpoint)
    for prefix, name in ((OPEN_CLIP, "text_encoder"), (OPEN_CLIP_XL, "text_encoder_2"), (OPEN_CLIP_REFINER, "text_encoder_2")):
        if under(shapes, prefix) and name in family:
            kind = CLIPTextModelWithProjection if name == "text_encoder_2" else CLIPTextModel
            config = open_clip_config(under(shapes, prefix), family[name], name == "text_encoder_2")
            parts[name] = part(checkpoint, kind, config, [prefix], partial(convert_open_clip, kind, config, prefix))
    return parts


def vae_part(shapes: Shapes, checkpoint: Checkpoint, prefix: str, scaling_factor: float) -> Part:
    if not under(shapes, prefix):
        raise ValueError("the file holds no autoencoder; --vae takes one from elsewhere")
    config = vae_config(under(shapes, prefix), scaling_factor)
    return part(checkpoint, AutoencoderKL, config, [prefix], partial(convert_ldm_vae_checkpoint, config=config))


def read_vae_file(file: Path, scaling_factor: float) -> Part:
    """An autoencoder alone, or that of a whole model."""
    checkpoint = Checkpoint(file)
    shapes = readable_names(checkpoint)
    prefix = VAE if under(shapes, VAE) else ""
    if not under(shapes, f"{prefix}decoder.up."):
        raise ValueError("holds no autoencoder in the original layout; of one in diffusers' give the folder")
    return vae_part(shapes, checkpoint, prefix, scaling_factor)


def convert_unet(config: dict, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    converted = convert_ldm_unet_checkpoint(tensors, config)
    used = {id(tensor) for tensor in converted.values()}
    unknown = [name for name, tensor in tensors.items() if id(tensor) not in used]
    if unknown:  # it passes over them
        raise ValueError(f"the U-Net has {len(unknown)} tensors that are not known: {shortened(unknown)}")
    return converted


def convert_open_clip(kind: type, config: dict, prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return convert_open_clip_checkpoint(Part(kind, config, None).empty(), tensors, prefix)


def part(checkpoint: Checkpoint, kind: type, config: dict, prefixes: list[str], convert: Callable) -> Part:
    def load(precision: torch.dtype) -> nn.Module:
        names = [name for name in checkpoint.names if name.startswith(tuple(prefixes))]
        tensors = {name: checkpoint[checkpoint.names[name]] for name in names}
        module = Part(kind, config, None).empty()
        with telling_where(kind.__name__):
            tensors = convert(tensors)
        fill(module, tensors, precision)
        return module

    return Part(kind, config, load)


def fill(module: nn.Module, tensors: dict[str, Tensor], precision: torch.dtype) -> None:
    """Throws ValueError where names or shapes are not the module's."""
    wanted = module.state_dict()
    if not hasattr(module, "text_model"):  # as transformers' CLIPTextModel since 5.6
        tensors = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith("position_ids")}
    kind = type(module).__name__
    whole = sorted(name for name, tensor in tensors.items() if not tensor.is_floating_point())
    if whole:
        raise ValueError(f"{kind}: {len(whole)} tensors hold no floating-point numbers: {shortened(whole)}")
    refuse_gaps(kind, wanted.keys() - tensors.keys(), [
        (name, tensors[name].shape, wanted[name].shape) for name in wanted.keys() & tensors.keys()
        if tensors[name].shape != wanted[name].shape])
    unknown = sorted(tensors.keys() - wanted.keys())
    if unknown:
        raise ValueError(f"{kind}: {len(unknown)} tensors are not known: {shortened(unknown)}")
    module.load_state_dict({name: tensor.to(precision) for name, tensor in tensors.items()}, assign=True)
