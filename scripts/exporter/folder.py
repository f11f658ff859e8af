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

from .checkpoint import Checkpoint, is_pickle
from .source import UNUSED, Part, Source, refuse_gaps, telling_where

NETWORKS = {
    "unet": [UNet2DConditionModel], "vae": [AutoencoderKL, AutoencoderTiny],
    "text_encoder": [CLIPTextModel], "text_encoder_2": [CLIPTextModelWithProjection],
}
SCALING_FACTOR, SCALING_FACTOR_XL = 0.18215, 0.13025  # of latents, where an AutoencoderTiny's own is 1
TOKENIZERS = ("tokenizer", "tokenizer_2")
SHARD = r"(-\d{5}-of-\d{5})?"
WEIGHTS = re.compile(rf"(diffusion_pytorch_model|pytorch_model|model){SHARD}(\.fp16)?{SHARD}\.(safetensors|bin)")


def read_folder(folder: Path, vae: Callable[[float], Part] | None = None) -> Source:
    """`vae` makes what replaces the folder's own, of a scaling factor. Throws ValueError for parts that are missing,
    damaged or of an unknown kind."""
    if not (folder / "model_index.json").is_file():
        raise ValueError(f"is no diffusers pipeline: {what_lies_in(folder)}")
    index = read_json(folder / "model_index.json")
    kinds = {name: find_class(name, *kind) for name, kind in index.items()
             if isinstance(kind, list) and len(kind) == 2 and all(isinstance(word, str) for word in kind)
             and name not in UNUSED}
    missing = {"unet", "vae", "scheduler"} - kinds.keys()
    if missing:
        raise ValueError(f"model_index.json: the pipeline has no {', '.join(sorted(missing))}")
    if not {"text_encoder", "text_encoder_2"} & kinds.keys():
        raise ValueError("model_index.json: the pipeline has no text_encoder")
    parts = {name: part_in(folder / name, kind) for name, kind in kinds.items() if name in NETWORKS}
    if vae:
        own = parts["vae"].config.get("scaling_factor", SCALING_FACTOR) if parts["vae"].kind is AutoencoderKL else None
        parts["vae"] = vae(own or (SCALING_FACTOR_XL if "text_encoder_2" in parts else SCALING_FACTOR))
    others = {name: configured(folder / name, kind) for name, kind in kinds.items() if name not in NETWORKS}
    settings = {key: value for key, value in index.items() if not isinstance(value, list)}
    return Source(index.get("_class_name"), settings, parts, others, license_of(folder), license_files_in(folder))


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


def what_lies_in(folder: Path) -> str:
    if (folder / "config.json").is_file():
        return f"it holds one network, {read_json(folder / 'config.json').get('_class_name')}, and no model_index.json"
    files = sorted(file.name for file in folder.iterdir() if file.suffix in (".safetensors", ".ckpt"))
    return "it holds no model_index.json" + (f"; to export a file, name it: {folder / files[0]}" if files else "")


def configured(folder: Path, kind: type):
    """A tokenizer or a scheduler."""
    if not folder.is_dir():  # the library would look for it on the network
        raise ValueError(f"{folder.name} is missing")
    with telling_where(folder.name):
        return kind.from_pretrained(folder, local_files_only=True)


def part_in(folder: Path, kind: type) -> Part:
    config = read_json(folder / "config.json")
    check_weights(folder)
    return Part(kind, config, partial(load, folder, kind))


def load(folder: Path, kind: type, precision: torch.dtype) -> nn.Module:
    # Of weights that are not .safetensors, both libraries take tensors alone and run no code (weights_only).
    dtype = "dtype" if issubclass(kind, transformers.PreTrainedModel) else "torch_dtype"
    with telling_where(folder.name):
        module, found = kind.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True,
            variant=variant_in(folder), **{dtype: precision})
    refuse_gaps(folder.name, found["missing_keys"], found["mismatched_keys"])
    return module


def check_weights(folder: Path) -> None:
    """That they are there and whole: the libraries find out late and tell at length."""
    files = weights_read(folder)
    if not files:
        raise ValueError(f"{folder.name} holds no weights: no .safetensors file and no .bin")
    for index in folder.glob(f"*{files[0].suffix}.index*.json"):
        shards = set(read_json(index).get("weight_map", {}).values())
        missing = sorted(shards - {file.name for file in files})
        if missing and is_half(index) == is_half(files[0]):
            raise ValueError(f"{folder.name}/{missing[0]} is missing, which {index.name} names")
    for file in files:
        try:
            if file.suffix == ".safetensors" and is_pickle(file):
                raise ValueError("is a .bin or .ckpt file by another name")
            Checkpoint(file)
        except ValueError as error:
            raise ValueError(f"{folder.name}/{file.name} {error}") from None


def weights_read(folder: Path) -> list[Path]:
    """Those that load() would read."""
    files = [file for file in weights_in(folder) if is_half(file) == bool(variant_in(folder))]
    return [file for file in files if file.suffix == ".safetensors"] or files


def variant_in(folder: Path) -> str | None:
    """diffusers lets a folder have only files such as diffusion_pytorch_model.fp16.safetensors."""
    weights = weights_in(folder)
    return "fp16" if weights and all(is_half(file) for file in weights) else None


def weights_in(folder: Path) -> list[Path]:
    """What the libraries know; others lie there for other programs."""
    return sorted(file for file in folder.iterdir() if WEIGHTS.fullmatch(file.name))


def is_half(file: Path) -> bool:
    return ".fp16" in file.name


def license_of(folder: Path) -> str | None:
    """As the model card's front matter says it."""
    try:
        card = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    front = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    line = re.search(r"^license(?:_name)?: *[\"']?([^\"'\n]+)", front[1], re.MULTILINE) if front else None
    return line[1].strip() if line else None


def license_files_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("LICENSE*") if file.is_file())


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
