"""The same picture by diffusers and by darkroom, side by side: scripts/parity."""

import argparse
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline

from . import measured
from .checks import release_memory
from .console import quieten_libraries
from .embedding import add_embeddings
from .folder import read_json
from .pictures import Record, Task, fuse, with_darkroom, with_diffusers, with_sampler
from .random_pipeline import known_families, write_random_pipeline
from .report import LATENTS, LEVELS, SHARE, TOLD, Report, difference
from .sanity import prove_sane
from .scheduler import sampler_of
from .trace import PRECISIONS

# What a CPU does in minutes; and guidance that the latents of a random XL stay sane with.
RANDOM = {"sd1": {"width": 512, "height": 512, "steps": 4}, "sd2-v": {"width": 256, "height": 256, "steps": 3},
          "sdxl": {"width": 256, "height": 256, "steps": 2, "cfg_scale": 3.0}}


def grid_steps(latents: np.ndarray, count: int) -> np.ndarray:
    """diffusers reports every call of its schedulers: PLMS calls twice for the first step, and those of order 2 for every
    step but the last."""
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


def check(source: Path, model: Path, task: Task, sampler: str | None, folder: Path, sane: bool = True,
          report: Report | None = None) -> Report:
    """Makes the task's pictures with the pipeline folder and with its export, and compares them."""
    report = report or Report()
    theirs, own_sampler = reference(source, task, sampler, sane, report)
    release_memory()  # a large model fits in memory once
    made_of = read_json(model / "model.json")
    ours, used = with_darkroom(model, task, sampler or own_sampler, made_of["defaults"]["schedule"], folder)
    weights = 4 * sum(network["parameters"] for network in made_of["networks"].values())
    report.note("pictures by diffusers", f"{theirs.seconds:.1f} s")
    report.note("pictures by darkroom", f"{ours.seconds:.1f} s after {used.seconds - ours.seconds:.1f} s of loading, "
                f"peak {used.peak / 2**30:.2f} GiB, weights {weights / 2**30:.2f}")
    compare(theirs, ours, report)
    return report


def reference(source: Path, task: Task, sampler: str | None, sane: bool, report: Report) -> tuple[Record, str]:
    """What diffusers does, and darkroom's name of the pipeline's own sampler."""
    pipeline = DiffusionPipeline.from_pretrained(source, local_files_only=True, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    if sampler:
        pipeline = with_sampler(pipeline, sampler)
    fuse(pipeline, task.loras)
    add_embeddings(pipeline, task.embeddings)
    theirs = with_diffusers(pipeline, task)
    if sane:
        prove_sane(pipeline, task, theirs, report)
    return theirs, sampler_of(pipeline.scheduler)


def export(source: Path, model: Path, precision: str, report: Report) -> None:
    command = [sys.executable, "-m", "exporter", source, "-o", model, "--precision", precision]
    report.note("export", str(measured.run(command)[0]))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/parity", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("source", type=Path, nargs="?", help="a diffusers pipeline folder")
    source.add_argument("--random", metavar="FAMILY", choices=known_families(), help=(
        f"instead, random weights in a family's published architecture, at full size: {', '.join(known_families())}"))
    parser.add_argument("--stored", choices=PRECISIONS, default="fp32",
                        help="precision of the random weights (default: fp32)")
    parser.add_argument("--model", type=Path, help="its export, if it has been made already")
    parser.add_argument("--work", type=Path, help="a folder for random pipeline and export, kept and taken up again if there")
    parser.add_argument("--prompt", default="a slice of pizza on a teal background")
    parser.add_argument("--negative-prompt")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3], help="a picture of each, in one batch (default: 3)")
    parser.add_argument("--width", type=int, help="default: the model's, or less for a random one")
    parser.add_argument("--height", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--cfg-scale", type=float)
    parser.add_argument("--sampler", help="darkroom's name of one that diffusers has too (default: the pipeline's)")
    parser.add_argument("--lora", nargs="+", default=[], metavar="FILE[:WEIGHT]", help="fused in diffusers")
    parser.add_argument("--embedding", nargs="+", default=[], metavar="[NAME=]FILE", help="textual inversions (.safetensors)")
    parser.add_argument("--not-sane", action="store_true", help="leave out the proof that the networks are alive and listen")
    return parser.parse_args()


def task_of(given: argparse.Namespace, defaults: dict) -> Task:
    chosen = {key: defaults[key] if getattr(given, key) is None else getattr(given, key)
              for key in ("width", "height", "steps", "cfg_scale")}
    guidance = chosen.pop("cfg_scale")
    return Task([given.prompt] * len(given.seeds), given.seeds, given.negative_prompt, **chosen, guidance=guidance,
                loras=tuple(given.lora), embeddings=tuple(given.embedding))


def main() -> int:
    given, report = parse(), Report()
    quieten_libraries()
    with nullcontext(given.work) if given.work else tempfile.TemporaryDirectory() as work:
        work = Path(work)
        work.mkdir(exist_ok=True)
        kind = f"-{given.random}-{given.stored}" if given.random else ""
        source, model = given.source or work / f"source{kind}", given.model or work / f"model{kind}"
        if not source.exists() and given.random:
            write_random_pipeline(given.random, source, PRECISIONS[given.stored])
        if not model.exists():
            export(source, model, given.stored if given.random else "fp32", report)
        with tempfile.TemporaryDirectory(dir=work) as pictures:
            task = task_of(given, read_json(model / "model.json")["defaults"] | {"steps": 4} | RANDOM.get(given.random, {}))
            check(source, model, task, given.sampler, Path(pictures), not given.not_sane, report)
    if report.failed:
        print(f"parity: fails first in: {report.failed[0]}", file=sys.stderr)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
