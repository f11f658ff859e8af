"""What model.json says about a pipeline. include/darkroom/model/manifest.h lists the keys."""

import hashlib
import inspect
from pathlib import Path

from diffusers import DiffusionPipeline

from .networks import TEXT_ENCODERS, Network, is_xl, text_components, time_ids
from .scheduler import sampler_of, spacing_of, walk_entry


def network_entry(network: Network, file: Path, precision: str, precisions: list[str], parameters: int,
                  activation_bytes_per_pixel: float) -> dict:
    """`precisions` are those it may run at."""
    return {"file": file.name, "sha256": sha256(file), "inputs": network.inputs, "outputs": network.outputs,
            "stored_precision": precision, "precisions": precisions, "parameters": parameters,
            "activation_bytes_per_pixel": activation_bytes_per_pixel}


def conditioning_entries(pipeline: DiffusionPipeline) -> list[dict]:
    """What feeds the denoiser besides sample and timestep: outputs of text encoders, joined on their channels and each
    with its own tokenizer, or `values`, named numbers of the picture that make one row per picture."""
    names = [TEXT_ENCODERS[component] for component in text_components(pipeline)]
    empty = "zeros" if pipeline.config.get("force_zeros_for_empty_prompt") else "encode"
    context = {"role": "context", "from": [f"{name}.hidden" for name, _, _ in names]}
    if len(names) == 1:
        context["tokenizer"] = names[0][1]
    else:
        context |= {"join": "channels", "tokenizer": [tokenizer for _, tokenizer, _ in names]}
    entries = [context | {"empty": empty}]
    if is_xl(pipeline) and time_ids(pipeline):
        entries.append({"role": "pooled", "from": ["text_2.pooled"], "tokenizer": "clip_2", "empty": empty})
        entries.append({"role": "time_ids", "values": time_ids(pipeline)})
    if pipeline.unet.config.time_cond_proj_dim is not None:
        entries.append({"role": "guidance", "values": ["guidance_weight"]})
    return entries


def stage_entry(pipeline: DiffusionPipeline, factor: int) -> dict:
    """The diffusion stage. Pipelines' constructors rewrite parts of the scheduler's configuration (steps_offset,
    clip_sample): what it holds now is what diffusers computes with."""
    if not hasattr(pipeline.scheduler, "alphas_cumprod"):
        raise ValueError(f"scheduler: {type(pipeline.scheduler).__name__} has other noise levels than those that betas "
                         "make, which the exporter has no words for")
    return {"kind": "diffusion", "denoiser": "unet",
            "state": [str(pipeline.vae.config.latent_channels), f"h/{factor}", f"w/{factor}"],
            **walk_entry(pipeline.scheduler.config)}


def output_entry(pipeline: DiffusionPipeline, factor: int) -> dict:
    vae = pipeline.vae.config
    return {"decoder": "decoder", "scale": vae.scaling_factor, "shift": vae.get("shift_factor") or 0, "factor": factor}


def defaults_entry(pipeline: DiffusionPipeline, factor: int) -> dict:
    """The checkpoint's own size, sampler and spacing; the other values are those of the pipeline's call."""
    size = pipeline.unet.config.sample_size
    if not isinstance(size, int | list | tuple):
        raise ValueError(f"unet/config.json: sample_size: {size!r} is no size")
    height, width = (size, size) if isinstance(size, int) else size
    call = inspect.signature(pipeline.__call__).parameters
    defaults = {"width": width * factor, "height": height * factor, "steps": call["num_inference_steps"].default,
                "cfg_scale": call["guidance_scale"].default, "sampler": sampler_of(pipeline.scheduler),
                "schedule": spacing_of(pipeline.scheduler)}
    if "aesthetic_score" in time_ids(pipeline):
        defaults |= {name: call[name].default for name in ("aesthetic_score", "negative_aesthetic_score")}
    return defaults


def sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
