"""Puts the parts together as an ordinary diffusers StableDiffusionPipeline folder."""

import os
import shutil

from diffusers import DDIMScheduler, StableDiffusionPipeline

import autoencoder
import common
import denoiser
import text_encoder
import tokenizer as tokens

# The model's own walk: the fewest calls after which more change nothing that can be seen (scripts/compare_samplers). The
# evaluation recommends the guidance: less shows objects worse, more colours.
SAMPLER, SCHEDULE, STEPS, GUIDANCE = "deis", "trailing", 12, 2.0


def build(folder, unet=None) -> StableDiffusionPipeline:
    """The pipeline of a training folder, with its denoiser or another."""
    pipe = StableDiffusionPipeline(
        vae=autoencoder.trained(folder), text_encoder=text_encoder.trained(folder), tokenizer=tokens.load(folder),
        unet=unet or denoiser.trained(folder), scheduler=DDIMScheduler(**denoiser.SCHEDULE),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe


def train(options: common.Options) -> None:
    """Writes FOLDER/pipeline; a reader meets the old one or the new one, never half of it."""
    folder = options.folder
    new, final, old = folder / "pipeline.new", folder / "pipeline", folder / "pipeline.old"
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    pipe = build(folder)
    pipe.save_pretrained(new)
    tokens.write(new / "tokenizer")
    if final.exists():
        os.rename(final, old)
    os.rename(new, final)
    shutil.rmtree(old, ignore_errors=True)
    counts = {
        name: sum(p.numel() for p in getattr(pipe, name).parameters()) for name in ("text_encoder", "unet", "vae")
    }
    common.Log(folder, "pipeline")(**counts, megabytes_fp16=sum(counts.values()) * 2 / 1e6)
