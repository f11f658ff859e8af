"""The same picture by diffusers and by darkroom, side by side: scripts/parity."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from .scheduler import MULTISTEP_SAMPLERS, SAMPLERS, sampler_of

# Largest |difference| over max(1, largest |value|), as fp32 on a CPU allows; of pixels the levels, and the share that differs.
TOLD, LATENTS, LEVELS, SHARE = 1e-5, 1e-4, 1, 0.005
SANE = (0.3, 3.0)  # deviation of latents and of the U-Net's output, without which agreement means nothing
WIRED = 100  # times its bound is what another value of an input must move the latents by
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


@dataclass
class Record:
    """What one program did: by role what the denoiser was told, (2, images, ...) with the negative half first where there is
    one; latents (steps, images, C, h, w); pictures (images, height, width, 3)."""

    told: dict[str, np.ndarray]
    latents: np.ndarray
    pictures: np.ndarray
    inputs: list[float] = field(default_factory=list)  # deviations of the latents as the U-Net takes them
    outputs: list[float] = field(default_factory=list)  # and of what it answers


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
    latents = []
    # An autoencoder that is upcast for fp16 changes its dtype on the way; at fp32 there is nothing to upcast.
    with Recorder(pipeline, change) as recorder:
        pictures = pipeline(
            task.prompts, **({} if task.negative is None else {"negative_prompt": [task.negative] * len(task.prompts)}),
            width=task.width, height=task.height, num_inference_steps=task.steps, guidance_scale=task.guidance,
            generator=[torch.Generator().manual_seed(seed) for seed in task.seeds], output_type="pil",
            callback_on_step_end=lambda pipe, step, t, values: latents.append(values["latents"].clone()) or {}).images
    told = {role: value.view(-1, len(task.prompts), *value.shape[1:]).numpy() for role, value in recorder.told.items()}
    return Record(told, torch.stack(latents).numpy(), np.stack([np.asarray(picture) for picture in pictures]),
                  recorder.inputs, recorder.outputs)


def with_darkroom(model: Path, task: Task, sampler: str, schedule: str, folder: Path) -> Record:
    """As one batch."""
    jobs = folder / "jobs.jsonl"
    rows = [{"prompt": prompt, "seed": seed, "lora": task.loras} | ({} if task.negative is None else {"negative_prompt": task.negative})
            for prompt, seed in zip(task.prompts, task.seeds, strict=True)]
    jobs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = {"model": model, "prompt-file": jobs, "batch-size": len(rows), "width": task.width, "height": task.height,
             "steps": task.steps, "cfg-scale": task.guidance, "sampler": sampler, "schedule": schedule, "output": folder,
             "name": "{index}.png", "trace-latents": folder, "precision": "fp32", "device": "cpu"}
    command = [os.environ["DARKROOM_BINARY"], "--quiet", *(f"--{name}={value}" for name, value in words.items())]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def load(pattern: str) -> np.ndarray:
        return np.stack([np.load(file) for file in sorted(folder.glob(pattern))])

    told = {}
    for file in folder.glob("00000-prompt-*.npy"):
        role = file.stem.removeprefix("00000-prompt-")
        halves = [load(f"[0-9]*-{half}-{role}.npy") for half in ("negative", "prompt") if any(folder.glob(f"*-{half}-{role}.npy"))]
        told[role] = np.stack(halves)
    latents = np.stack([load(f"{index:05}-step-*.npy") for index in range(len(rows))], axis=1)
    pictures = np.stack([np.asarray(Image.open(folder / f"{index:05}.png")) for index in range(len(rows))])
    return Record(told, latents, pictures)


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """inf where the shapes are others."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max()))


def other_values(pipeline: DiffusionPipeline, told: dict[str, np.ndarray]) -> dict[str, callable]:
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
        other = pipeline.get_guidance_scale_embedding(torch.full((len(inputs["timestep_cond"]),), 3.0), pipeline.unet.config.time_cond_proj_dim)
        return timestep, inputs | {"timestep_cond": other}

    changes["context"] = change_context
    if "pooled" in told:
        changes["pooled"] = change_added("text_embeds", lambda value: encoded[2].expand_as(value))
        changes["time_ids"] = change_added("time_ids", lambda value: value * 2 + 64)
    if pipeline.unet.config.time_cond_proj_dim is not None:
        changes["guidance"] = change_guidance
    return changes


class Report:
    """Lines of a table, and whether each is within its bound."""

    def __init__(self, out=sys.stdout):
        self.out, self.failed = out, []

    def line(self, what: str, value: float, good: bool, bound: str) -> None:
        print(f"{what:32} {value:<10.3g} {bound:24} {'' if good else 'FAILS'}".rstrip(), file=self.out)
        if not good:
            self.failed.append(what)

    def at_most(self, what: str, value: float, bound: float) -> None:
        self.line(what, value, value <= bound, f"at most {bound:g}")

    def at_least(self, what: str, value: float, bound: float) -> None:
        self.line(what, value, value >= bound, f"at least {bound:g}")

    def within(self, what: str, values: list[float], bounds: tuple[float, float]) -> None:
        worst = max(values, key=lambda value: max(value / bounds[1], bounds[0] / max(value, 1e-9)))
        self.line(what, worst, bounds[0] <= worst <= bounds[1], f"{bounds[0]:g} to {bounds[1]:g}")


def grid_steps(latents: np.ndarray, count: int) -> np.ndarray:
    """diffusers reports every call of its schedulers: PLMS calls twice for the first step, and those of order 2 for every step
    but the last."""
    if len(latents) == count + 1:
        return latents[1:]
    if len(latents) == 2 * count - 1 > 1:
        return np.concatenate([latents[1::2], latents[-1:]])
    return latents


def compare(theirs: Record, ours: Record, report: Report) -> None:
    for role, value in theirs.told.items():
        report.at_most(role, difference(ours.told.get(role, np.empty(0)), value), TOLD)
    steps = grid_steps(theirs.latents, len(ours.latents))
    report.at_most("steps apart", abs(len(ours.latents) - len(steps)), 0)
    for step, (x, y) in enumerate(zip(ours.latents, steps), 1):
        report.at_most(f"latents after step {step}", difference(x, y), LATENTS)
    levels = np.abs(ours.pictures.astype(int) - theirs.pictures.astype(int))
    report.at_most("pixels, levels", levels.max(), LEVELS)
    report.at_most("pixels, share that differs", (levels > 0).mean(), SHARE)


def prove_sane(pipeline: DiffusionPipeline, task: Task, theirs: Record, report: Report) -> None:
    """That agreement means something: no random network has died, exploded or does not listen."""
    report.within("deviation of latents", [*theirs.inputs, float(theirs.latents[-1].std())], SANE)
    report.within("deviation of the U-Net", theirs.outputs, SANE)
    for role, change in other_values(pipeline, theirs.told).items():
        other = with_diffusers(pipeline, task, change)
        report.at_least(f"moved by another {role}", difference(other.latents[-1], theirs.latents[-1]), WIRED * LATENTS)


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
        file, _, weight = lora.rpartition(":")
        name = f"lora{len(weights)}"
        weights[name] = float(weight)
        pipeline.load_lora_weights(Path(file).parent, weight_name=Path(file).name, adapter_name=name)
    if weights:
        pipeline.set_adapters(list(weights), list(weights.values()))
        pipeline.fuse_lora(adapter_names=list(weights))
        pipeline.unload_lora_weights()


def check(source: Path, model: Path, task: Task, sampler: str | None, folder: Path, sane: bool = True, report=None) -> Report:
    """Makes the task's pictures with the pipeline folder and with its export, and compares them."""
    report = report or Report()
    pipeline = DiffusionPipeline.from_pretrained(source, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    if sampler:
        pipeline.scheduler = scheduler_for(pipeline, sampler)
    fuse(pipeline, task.loras)
    schedule = json.loads((model / "model.json").read_text())["defaults"]["schedule"]
    theirs = with_diffusers(pipeline, task)
    compare(theirs, with_darkroom(model, task, sampler or sampler_of(pipeline.scheduler), schedule, folder), report)
    if sane:
        prove_sane(pipeline, task, theirs, report)
    return report


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/parity", description=__doc__)
    parser.add_argument("source", type=Path, help="a diffusers pipeline folder")
    parser.add_argument("--model", type=Path, help="its export, if it has been made already")
    parser.add_argument("--prompt", default="a slice of pizza on a teal background")
    parser.add_argument("--negative-prompt")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3], help="a picture of each, in one batch (default: 3)")
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--height", type=int, required=True)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--cfg-scale", type=float, default=7.5)
    parser.add_argument("--sampler", help="darkroom's name of one that diffusers has too (default: the pipeline's)")
    parser.add_argument("--lora", nargs="+", default=[], metavar="FILE:WEIGHT", help="fused in diffusers; needs peft")
    parser.add_argument("--not-sane", action="store_true", help="leave out the proof that the networks are alive and listen")
    return parser.parse_args()


def main() -> int:
    given = parse()
    task = Task([given.prompt] * len(given.seeds), given.seeds, given.negative_prompt, given.width, given.height,
                given.steps, given.cfg_scale, tuple(given.lora))
    with tempfile.TemporaryDirectory() as temporary:
        model = given.model or Path(temporary) / "model"
        if not given.model:
            subprocess.run([sys.executable, "-m", "exporter", given.source, "-o", model, "--precision", "fp32"], check=True)
        pictures = Path(temporary) / "pictures"
        pictures.mkdir()
        report = check(given.source, model, task, given.sampler, pictures, not given.not_sane)
    if report.failed:
        print(f"parity: differs first in: {report.failed[0]}", file=sys.stderr)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
