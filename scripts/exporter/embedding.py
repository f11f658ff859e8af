"""Textual inversion embeddings: pickles (.pt, .bin) made .safetensors files, nothing in them ever run, and those given to
diffusers."""

import os
import tempfile
from pathlib import Path

from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor

from .checkpoint import Placeholder, is_pickle, read_objects, tensors_in

PAIR = ("clip_l", "clip_g")  # of Stable Diffusion XL's text encoders


def convert_embedding(file: Path, output: Path) -> str:
    """Returns what was written, in words. Throws ValueError where the file holds no embedding."""
    if output.suffix != ".safetensors":
        raise ValueError(f"-o {output}: an embedding becomes a .safetensors file")
    if output.exists():
        raise ValueError(f"{output} exists already")
    tensors = {key: vectors(key, tensor) for key, tensor in embeddings_in(file).items()}
    with tempfile.NamedTemporaryFile(prefix=f".{output.name}.", dir=output.parent) as partial:
        save_file(tensors, partial.name)
        os.chmod(partial.name, 0o644)
        os.link(partial.name, output)
    return ", ".join(f"{key}: {tensor.shape[0]} vectors of {tensor.shape[1]} channels" for key, tensor in tensors.items())


def embeddings_in(file: Path) -> dict[str, Tensor]:
    """Under darkroom's keys: A1111's emb_params, diffusers' word, SDXL's clip_l and clip_g."""
    if not is_pickle(file):
        raise ValueError("is no .pt or .bin file; a .safetensors file darkroom reads as it is")
    content = read_objects(file)
    if isinstance(content, Tensor):
        return {"emb_params": content}
    if isinstance(content, dict) and "string_to_param" in content:
        holder = content["string_to_param"]
        if isinstance(holder, Placeholder):  # a module, ParameterDict
            holder = getattr(holder, "state", {}).get("_parameters")
        tensors = tensors_in(holder)
        if len(tensors) == 1:  # under A1111's placeholder, "*"
            return {"emb_params": next(iter(tensors.values()))}
        raise ValueError(f"holds {len(tensors)} words, of which darkroom would not know which is meant")
    tensors = tensors_in(content)
    if len(tensors) == 1 or tensors and set(tensors) <= set(PAIR):
        return tensors
    first = next(iter(tensors), "no tensor")
    raise ValueError(f"is no textual inversion embedding: it holds {first!r}" +
                     (f" and {len(tensors) - 1} more tensors" if len(tensors) > 1 else ""))


def vectors(key: str, tensor: Tensor) -> Tensor:
    if tensor.dim() not in (1, 2) or tensor.numel() == 0 or not tensor.is_floating_point():
        raise ValueError(f"is no textual inversion embedding: {key!r} is {tensor.dtype} of the shape {list(tensor.shape)}")
    if not tensor.isfinite().all():
        raise ValueError(f"holds {key!r} with values that are no numbers (NaN or Inf)")
    return tensor.detach().reshape(-1, tensor.shape[-1]).contiguous().clone()


def add_embeddings(pipeline: DiffusionPipeline, embeddings: tuple[str, ...]) -> None:
    """As darkroom's --embedding, [NAME=]FILE each."""
    for embedding in embeddings:
        name, _, file = embedding.rpartition("=")
        for key, tensor in load_file(file).items():
            part = "_2" if key == "clip_g" else ""
            tokenizer, text_encoder = (getattr(pipeline, f"{kind}{part}") for kind in ("tokenizer", "text_encoder"))
            own = None if key in (*PAIR, "emb_params") else key
            if tokenizer:  # SDXL's refiner has the second alone
                pipeline.load_textual_inversion(tensor, token=name or own or Path(file).stem, tokenizer=tokenizer,
                                                text_encoder=text_encoder)
