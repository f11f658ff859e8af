"""Hand-over to a refiner, against diffusers' two pipelines in a row: denoising_end of the one, denoising_start of the other."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from exporting import ROOT  # first: it sets the path
from exporter import parity, pictures
from exporter.embedding import add_embeddings
from diffusers import DiffusionPipeline  # isort: skip
from safetensors.torch import save_file
from test_embedding import tensors

BINARY = os.environ.get("DARKROOM_BINARY", str(ROOT / "build" / "darkroom"))
PROMPT, NEGATIVE, SEED, STEPS, GUIDANCE = "a slice of pizza on a teal background", "blurry", 5, 10, 4.0
SIZE = {"width": 40, "height": 48}


@pytest.fixture(scope="module")
def pair(gentle):
    """Family -> the pipeline, and the model made of it."""
    made = {}
    for family in ("sdxl", "refiner"):
        source, model = gentle(family)
        pipeline = DiffusionPipeline.from_pretrained(source, local_files_only=True)
        pipeline.set_progress_bar_config(disable=True)
        made[family] = pipeline, model
    return made


@torch.no_grad()
def with_diffusers(pair: dict, sampler: str, start: float, negative: str | None, prompt: str = PROMPT) -> np.ndarray:
    """Latents after each step."""
    latents = []
    generator = torch.Generator().manual_seed(SEED)
    common = {"prompt": prompt, "num_inference_steps": STEPS, "guidance_scale": GUIDANCE, "generator": generator,
              "output_type": "latent", "negative_prompt": negative,
              "callback_on_step_end": lambda pipe, step, t, values: latents.append(values["latents"].clone()) or {}}
    (base, _), (refiner, _) = pair["sdxl"], pair["refiner"]
    for pipeline in (base, refiner):
        pipeline.scheduler = pictures.scheduler_for(pipeline, sampler)
    handed = base(**common, **SIZE, denoising_end=start).images
    refiner(**common, image=handed, denoising_start=start)
    return torch.cat(latents).numpy()


def with_darkroom(pair: dict, sampler: str, start: float, negative: str | None, out: Path, prompt: str = PROMPT,
                  **more) -> np.ndarray:
    words = {"model": pair["sdxl"][1], "refiner": pair["refiner"][1], "refiner-start": start, "seed": SEED, "steps": STEPS,
             "cfg-scale": GUIDANCE, "sampler": sampler, "schedule": "leading", "output": out / "x.png",
             "trace-latents": out, "precision": "fp32", "device": "cpu", "threads": 1} | SIZE | more
    if negative is not None:
        words["negative-prompt"] = negative
    subprocess.run([BINARY, prompt, "--quiet", *(f"--{name}={value}" for name, value in words.items())], check=True,
                   stdout=subprocess.DEVNULL)
    return np.stack([np.load(file) for file in sorted(out.glob("x-step-*.npy"))])


def compare(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape == (STEPS, 4, SIZE["height"] // 2, SIZE["width"] // 2)
    worst = [parity.difference(x, y) for x, y in zip(ours, theirs, strict=True)]
    print(f"latents of each step differ by {' '.join(f'{value:.1e}' for value in worst)}")
    assert max(worst) <= parity.LATENTS


# 0.499: the hand-over is at a timestep of the walk, which is the first model's.
@pytest.mark.parametrize("sampler, start, negative", [
    ("euler", 0.8, None), ("ddim", 0.499, NEGATIVE), ("dpm++2m", 0.5, ""), ("euler_a", 0.35, NEGATIVE)])
def test_the_refiner_goes_on_as_in_diffusers(sampler, start, negative, pair, tmp_path):
    compare(with_darkroom(pair, sampler, start, negative, tmp_path), with_diffusers(pair, sampler, start, negative))


def test_both_read_an_embedding(pair, tmp_path):
    style, prompt = tmp_path / "style.safetensors", "a teal style"
    save_file(tensors("sdxl", 4, 1), style)
    for pipeline, _ in pair.values():
        add_embeddings(pipeline, (str(style),))
    compare(with_darkroom(pair, "euler", 0.5, None, tmp_path, prompt, embedding=style),
            with_diffusers(pair, "euler", 0.5, None, prompt))
