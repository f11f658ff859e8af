"""One task done by diffusers and by darkroom, and what both did on the way."""

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline, LatentConsistencyModelPipeline, StableDiffusionPipeline
from PIL import Image

from . import measured
from .lora import split as lora_and_weight
from .scheduler import MULTISTEP_SAMPLERS, SAMPLERS

# diffusers' names of what the U-Net is told -> darkroom's.
ROLES = {"encoder_hidden_states": "context", "text_embeds": "pooled", "time_ids": "time_ids"}


@dataclass(frozen=True)
class Task:
    """One call of both programs, in diffusers' words."""

    prompts: list[str]
    seeds: list[int]
    negative: str | None
    width: int
    height: int
    steps: int
    guidance: float
    loras: tuple[str, ...] = ()  # as darkroom's --lora
    embeddings: tuple[str, ...] = ()  # as darkroom's --embedding


@dataclass
class Record:
    """What one program did: by role what the denoiser was told, (2, images, ...) with the negative half first where there is
    one; latents (steps, images, C, h, w); pictures (images, height, width, 3)."""

    told: dict[str, np.ndarray]
    latents: np.ndarray
    pictures: np.ndarray
    inputs: list[float] = field(default_factory=list)  # deviations of the latents as the U-Net takes them
    outputs: list[float] = field(default_factory=list)  # and of what it answers
    seconds: float = 0  # from the prompt to the pictures


class Recorder:
    """Stands before a pipeline's U-Net; `change` may give one of its inputs another value."""

    def __init__(self, pipeline: DiffusionPipeline, change=None):
        self.unet, self.change = pipeline.unet, change
        self.told, self.inputs, self.outputs = {}, [], []

    def __enter__(self):
        self.forward = self.unet.forward
        self.unet.forward = self.call
        return self

    def __exit__(self, *_):
        self.unet.forward = self.forward

    def call(self, sample, timestep, **inputs):
        added = inputs.get("added_cond_kwargs") or {}
        if not self.told:
            given = {**inputs, **added}
            self.told = {role: given[name].clone() for name, role in ROLES.items() if given.get(name) is not None}
        if self.change:
            timestep, inputs = self.change(timestep, inputs | {"added_cond_kwargs": dict(added) or None})
        output = self.forward(sample, timestep, **inputs)
        self.inputs.append(sample.std().item())
        self.outputs.append(output[0].std().item())
        return output


@torch.no_grad()
def with_diffusers(pipeline: DiffusionPipeline, task: Task, change=None) -> Record:
    """With a change, of the Recorder's, `pictures` are the last latents."""
    latents, began = [], time.monotonic()
    # An autoencoder that is upcast for fp16 changes its dtype on the way; at fp32 there is nothing to upcast.
    with Recorder(pipeline, change) as recorder:
        pictures = pipeline(
            task.prompts, negative_prompt=None if task.negative is None else [task.negative] * len(task.prompts),
            width=task.width, height=task.height, num_inference_steps=task.steps, guidance_scale=task.guidance,
            generator=[torch.Generator().manual_seed(seed) for seed in task.seeds],
            output_type="latent" if change else "pil",
            callback_on_step_end=lambda pipe, step, t, values: latents.append(values["latents"].clone()) or {}).images
    told = {role: value.view(-1, len(task.prompts), *value.shape[1:]).numpy() for role, value in recorder.told.items()}
    return Record(told, torch.stack(latents).numpy(), np.stack([np.asarray(picture) for picture in pictures]),
                  recorder.inputs, recorder.outputs, time.monotonic() - began)


def with_darkroom(model: Path, task: Task, sampler: str, schedule: str, folder: Path) -> tuple[Record, measured.Used]:
    """As one batch; and what the whole program used."""
    jobs = folder / "jobs.jsonl"
    common = {"lora": task.loras, "embedding": task.embeddings}
    common |= {} if task.negative is None else {"negative_prompt": task.negative}
    rows = [{"prompt": prompt, "seed": seed} | common for prompt, seed in zip(task.prompts, task.seeds, strict=True)]
    jobs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = {"model": model, "prompt-file": jobs, "batch-size": len(rows), "width": task.width, "height": task.height,
             "steps": task.steps, "cfg-scale": task.guidance, "sampler": sampler, "schedule": schedule, "output": folder,
             "name": "{index}.png", "trace-latents": folder, "precision": "fp32", "device": "cpu"}
    command = [os.environ["DARKROOM_BINARY"], "--quiet", "--json", *(f"--{name}={value}" for name, value in words.items())]
    used, said = measured.run(command)
    seconds = sum(json.loads(line)["seconds"] for line in said.splitlines())

    def load(pattern: str) -> np.ndarray:
        return np.stack([np.load(file) for file in sorted(folder.glob(pattern))])

    told = {}
    for file in folder.glob("00000-prompt-*.npy"):
        role = file.stem.removeprefix("00000-prompt-")
        halves = (f"[0-9]*-{half}-{role}.npy" for half in ("negative", "prompt"))
        told[role] = np.stack([load(half) for half in halves if any(folder.glob(half))])
    latents = np.stack([load(f"{index:05}-step-*.npy") for index in range(len(rows))], axis=1)
    pictures = np.stack([np.asarray(Image.open(folder / f"{index:05}.png")) for index in range(len(rows))])
    return Record(told, latents, pictures, seconds=seconds), used


def with_sampler(pipeline: DiffusionPipeline, sampler: str) -> DiffusionPipeline:
    """Walked by another scheduler, of darkroom's name."""
    if isinstance(pipeline, LatentConsistencyModelPipeline):  # asks its scheduler what only LCM's can answer
        pipeline = StableDiffusionPipeline(**pipeline.components, requires_safety_checker=False)
        pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = scheduler_for(pipeline, sampler)
    return pipeline


def scheduler_for(pipeline: DiffusionPipeline, sampler: str):
    """The pipeline's own configuration under another class, which would clip where the configuration does not say."""
    import diffusers

    names = {ours: theirs for theirs, ours in SAMPLERS.items()} | {"plms": "PNDMScheduler"}
    settings = {"clip_sample": False} if "clip_sample" not in pipeline.scheduler.config else {}
    if sampler == "plms":
        settings["skip_prk_steps"] = True
    for (algorithm, order), ours in MULTISTEP_SAMPLERS.items():
        if ours == sampler:
            names[sampler] = "DPMSolverMultistepScheduler"
            settings |= {"algorithm_type": algorithm, "solver_order": order}
    if sampler not in names:
        raise ValueError(f"--sampler {sampler}: diffusers has none of that name; known are {', '.join(sorted(names))}")
    return getattr(diffusers, names[sampler]).from_config(pipeline.scheduler.config, **settings)


def fuse(pipeline: DiffusionPipeline, loras: tuple[str, ...]) -> None:
    weights = {}
    for lora in loras:
        file, weight = lora_and_weight(lora)
        name = f"lora{len(weights)}"
        weights[name] = weight
        pipeline.load_lora_weights(file.parent, weight_name=file.name, adapter_name=name)
    if weights:
        pipeline.set_adapters(list(weights), list(weights.values()))
        pipeline.fuse_lora(adapter_names=list(weights))
        pipeline.unload_lora_weights()
