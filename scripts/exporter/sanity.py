"""That agreement between two programs means something."""

from collections.abc import Callable

import numpy as np
import torch
from diffusers import DiffusionPipeline

from .pictures import Record, Task, with_diffusers
from .report import LATENTS, Report, difference

SANE = (0.3, 3.0)  # deviation of latents and of the U-Net's output
WIRED = 100  # times its bound is what another value of an input must move the latents by


def other_values(pipeline: DiffusionPipeline, told: dict[str, np.ndarray]) -> dict[str, Callable]:
    """By input of the U-Net a change of it to another value that it may have."""
    changes = {"timestep": lambda timestep, inputs: (timestep * 4 // 5, inputs)}
    encoded = pipeline.encode_prompt("another prompt altogether", device="cpu", num_images_per_prompt=1,
                                     do_classifier_free_guidance=False)

    def change_context(timestep, inputs):
        return timestep, inputs | {"encoder_hidden_states": encoded[0].expand_as(inputs["encoder_hidden_states"])}

    def change_added(name, change):
        def changed(timestep, inputs):
            added = inputs["added_cond_kwargs"]
            return timestep, inputs | {"added_cond_kwargs": added | {name: change(added[name])}}
        return changed

    def change_guidance(timestep, inputs):
        scales = torch.full((len(inputs["timestep_cond"]),), 3.0)
        return timestep, inputs | {
            "timestep_cond": pipeline.get_guidance_scale_embedding(scales, pipeline.unet.config.time_cond_proj_dim)}

    changes["context"] = change_context
    if "pooled" in told:
        changes["pooled"] = change_added("text_embeds", lambda value: encoded[2].expand_as(value))
        changes["time_ids"] = change_added("time_ids", lambda value: value * 2 + 64)
    if pipeline.unet.config.time_cond_proj_dim is not None:
        changes["guidance"] = change_guidance
    return changes


def prove_sane(pipeline: DiffusionPipeline, task: Task, theirs: Record, report: Report) -> None:
    """No random network has died, exploded or does not listen."""
    report.within("deviation of latents", [*theirs.inputs, float(theirs.latents[-1].std())], SANE)
    report.within("deviation of the U-Net", theirs.outputs, SANE)
    for role, change in other_values(pipeline, theirs.told).items():
        other = with_diffusers(pipeline, task, change)
        report.at_least(f"moved by another {role}", difference(other.latents[-1], theirs.latents[-1]), WIRED * LATENTS)
