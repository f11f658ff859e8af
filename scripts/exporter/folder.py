"""A diffusers pipeline folder as the source of an export."""

import inspect
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, AutoencoderTiny, SchedulerMixin, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from .source import UNUSED, Part, Source, refuse_gaps

NETWORKS = {
    "unet": [UNet2DConditionModel], "vae": [AutoencoderKL, AutoencoderTiny],
    "text_encoder": [CLIPTextModel], "text_encoder_2": [CLIPTextModelWithProjection],
}
SCALING_FACTOR, SCALING_FACTOR_XL = 0.18215, 0.13025  # of latents, where an AutoencoderTiny's own is 1
TOKENIZERS = ("tokenizer", "tokenizer_2")


def read_folder(folder: Path, vae: Callable[[float], Part] | None = None) -> Source:
    """`vae` makes what replaces the folder's own, of a scaling factor. Throws ValueError for parts that are missing, damaged or of an unknown kind."""
    index = read_json(folder / "model_index.json")
    kinds = {name: find_class(name, *kind) for name, kind in index.items()
             if isinstance(kind, list) and kind[0] is not None and name not in UNUSED}
    missing = {"unet", "vae", "scheduler"} - kinds.keys()
    if missing:
        raise ValueError(f"model_index.json: the pipeline has no {', '.join(sorted(missing))}")
    if not {"text_encoder", "text_encoder_2"} & kinds.keys():
        raise ValueError("model_index.json: the pipeline has no text_encoder")
    parts = {name: part_in(folder / name, kind) for name, kind in kinds.items() if name in NETWORKS}
    if vae:
        own = parts["vae"].config.get("scaling_factor", SCALING_FACTOR) if parts["vae"].kind is AutoencoderKL else None
        parts["vae"] = vae(own or (SCALING_FACTOR_XL if "text_encoder_2" in parts else SCALING_FACTOR))
    others = {name: kind.from_pretrained(folder / name, local_files_only=True)
              for name, kind in kinds.items() if name not in NETWORKS}
    settings = {key: value for key, value in index.items() if not isinstance(value, list)}
    return Source(index.get("_class_name"), settings, parts, others, license_of(folder), sorted(folder.glob("LICENSE*")))


def find_class(name: str, library: str, kind: str) -> type:
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


def read_vae(folder: Path) -> Part:
    """The autoencoder that a folder is, or that the pipeline in it has."""
    if (folder / "model_index.json").is_file():
        folder /= "vae"
    name = read_json(folder / "config.json").get("_class_name")
    return part_in(folder, find_class("vae", "diffusers", name))


def part_in(folder: Path, kind: type) -> Part:
    return Part(kind, read_json(folder / "config.json"), partial(load, folder, kind))


def load(folder: Path, kind: type, precision: torch.dtype) -> nn.Module:
    # Of weights that are not .safetensors, both libraries take tensors alone and run no code (weights_only).
    dtype = "dtype" if issubclass(kind, transformers.PreTrainedModel) else "torch_dtype"
    module, found = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True,
                                         ignore_mismatched_sizes=True, variant=variant_in(folder), **{dtype: precision})
    refuse_gaps(folder.name, found["missing_keys"], found["mismatched_keys"])
    return module


def variant_in(folder: Path) -> str | None:
    """diffusers lets a folder have only files such as diffusion_pytorch_model.fp16.safetensors."""
    weights = [file.name for file in folder.iterdir() if file.suffix in (".safetensors", ".bin")]
    if weights and all(".fp16." in name for name in weights):
        return "fp16"
    return None


def license_of(folder: Path) -> str | None:
    """As the model card's front matter says it."""
    try:
        card = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    front = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    line = re.search(r"^license(?:_name)?: *[\"']?([^\"'\n]+)", front[1], re.MULTILINE) if front else None
    return line[1].strip() if line else None


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
