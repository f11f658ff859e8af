#!/usr/bin/env python3
"""Judges generated pictures with the classifier: those of the diffusers pipeline, or PNG files that another program made.

evaluate.py pipeline DIR [--steps N] [--cfg-scale X]     draws and judges held-out pairs with diffusers' pipeline
evaluate.py captions DIR [--steps N] [--cfg-scale X]     the same for random captions in all phrasings, by size of the object
evaluate.py prompts FILE                                 writes the prompts of the evaluation as JSON lines, for another program
evaluate.py pictures FILE                                judges PNG files; FILE has JSON lines with "file", "object" and
                                                         "colour", or is what darkroom --json printed"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import captions
import classifier
import common
import scenes

COUNT, BATCH = 200, 25


def pairs(count: int) -> list[tuple[int, int, int]]:
    """`count` (object, colour, seed): the held-out pairs of every object in turn, with seeds counting up."""
    every = [
        [(o, c) for c in range(len(scenes.COLOUR_NAMES)) if scenes.held_out(o, c)] for o in range(len(scenes.objects()))
    ]
    rows = [(thing, turn) for turn in range(-(-count // len(every))) for thing in every][:count]
    return [(*thing[turn % len(thing)], 1000 + i) for i, (thing, turn) in enumerate(rows)]


def other_object(object_: int) -> int:
    """The object that takes another's place when only the prompt changes and the seed stays."""
    return (object_ + len(scenes.objects()) // 2) % len(scenes.objects())


def draw(pipe, prompts: list[str], seeds: list[int], steps: int, guidance: float) -> np.ndarray:
    """Pictures, N x H x W x 3 bytes; each has its own generator, as in darkroom."""
    found = []
    for start in range(0, len(prompts), BATCH):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds[start : start + BATCH]]
        output = pipe(
            prompts[start : start + BATCH],
            generator=generators,
            num_inference_steps=steps,
            guidance_scale=guidance,
            output_type="np",
        )
        found.append((output.images * 255).round().astype(np.uint8))
    return np.concatenate(found)


def verdict(pictures: np.ndarray, objects: list[int], colours: list[int], folder) -> tuple[dict, torch.Tensor]:
    seen_objects, seen_colours = classifier.judge(classifier.trained(folder), classifier.to_tensor(pictures))
    right = seen_objects == torch.tensor(objects)
    names = [thing.name for thing in scenes.objects()]
    wrong = [f"{names[o]}->{names[s]}" for o, s, ok in zip(objects, seen_objects.tolist(), right.tolist()) if not ok]
    colour = (seen_colours == torch.tensor(colours)).float().mean().item()
    likeness = float(np.mean([_likeness(picture, thing) for picture, thing in zip(pictures, objects)]))
    return {
        "pictures": len(pictures), "object": right.float().mean().item(), "colour": colour, "likeness": likeness, "confused": wrong[:20],
    }, seen_objects  # fmt: skip


def _likeness(picture: np.ndarray, object_: int) -> float:
    """PSNR to the nearest rendering: the large object in each size and place, on the picture's own background."""
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    nearest = min(
        np.square(candidate - picture).mean() for candidate in scenes.renderings(object_, np.median(border, 0))
    )
    return 10 * np.log10(255**2 / nearest)


def held_out_pairs(pipe, folder, count=COUNT, steps=None, guidance=None, sheet=None, change=False) -> dict:
    """Object and colour accuracy on held-out pairs.

    With `change` also how often the same seed shows another object when the prompt names another."""
    import pipeline

    steps, guidance = steps or pipeline.STEPS, pipeline.GUIDANCE if guidance is None else guidance
    objects, colours, seeds = zip(*pairs(count))
    pictures = draw(pipe, [captions.plain(o, c) for o, c in zip(objects, colours)], seeds, steps, guidance)
    figures, seen = verdict(pictures, objects, colours, folder)
    if sheet:
        scenes.contact_sheet(pictures, 11 if count <= 44 else 20, 2 if count <= 44 else 1).save(folder / sheet)
    if change:
        prompts = [captions.plain(other_object(o), c) for o, c in zip(objects, colours)]
        others = draw(pipe, prompts, seeds, steps, guidance)
        changed, seen_others = verdict(others, [other_object(o) for o in objects], colours, folder)
        figures |= {"changed": (seen != seen_others).float().mean().item(), "other_object": changed["object"]}
    return {"steps": steps, "guidance": guidance, **figures}


def train(folder, minutes=None) -> None:
    """The stage of train.py: the figures of the assembled pipeline at its default settings."""
    _pipeline(folder, folder / "pipeline", None, None, COUNT)


def _load(path):
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(path, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _pipeline(folder, path, steps, guidance, count) -> None:
    figures = held_out_pairs(_load(path), folder, count, steps, guidance, sheet="evaluate.png", change=True)
    common.Log(folder, "evaluate")(**figures)


def _captions(folder, path, steps, guidance, count) -> None:
    import pipeline

    pipe, random = _load(path), np.random.default_rng(8)
    for size, name in enumerate(scenes.SIZE_NAMES):
        drawn = [scenes.draw_scene(random, held=True) for _ in range(count // len(scenes.SIZE_NAMES))]
        asked = [scenes.Scene(scene.object, scene.colour, size) for scene in drawn]
        lines = [captions.caption(scene, random) for scene in asked]
        seeds = list(range(2000, 2000 + len(lines)))
        pictures = draw(
            pipe, lines, seeds, steps or pipeline.STEPS, pipeline.GUIDANCE if guidance is None else guidance
        )
        figures, _ = verdict(pictures, [s.object for s in asked], [s.colour for s in asked], folder)
        del figures["likeness"]  # is to large renderings
        common.Log(folder, "evaluate")(size=name, **figures)
        scenes.contact_sheet(pictures, 11, 2).save(folder / f"captions-{name}.png")


def _prompts(path: Path) -> None:
    """Each held-out pair ("asked"), and the same seed with another object ("other")."""
    with path.open("w", encoding="utf-8") as file:
        for object_, colour, seed in pairs(COUNT):
            for kind, thing in (("asked", object_), ("other", other_object(object_))):
                row = {"id": f"{kind}-{seed}", "prompt": captions.plain(thing, colour), "seed": seed, "kind": kind}
                row |= {"object": scenes.objects()[thing].name, "colour": scenes.COLOUR_NAMES[colour]}
                file.write(json.dumps(row) + "\n")


def _file_of(row: dict, where: Path) -> Path:
    """ "file" is relative to the list, darkroom's "path" to the current folder."""
    return where / row["file"] if "file" in row else Path(row["path"])


def _pictures(folder, path: Path) -> None:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    rows = [{"kind": "asked", "seed": None} | line | line.get("extras", {}) for line in lines]
    index = {thing.name: thing.index for thing in scenes.objects()}
    answers: dict = {}
    for kind in sorted({row["kind"] for row in rows}):
        some = [row for row in rows if row["kind"] == kind]
        pictures = np.stack([np.asarray(Image.open(_file_of(row, path.parent)).convert("RGB")) for row in some])
        objects, colours = (
            [index[row["object"]] for row in some],
            [scenes.COLOUR_NAMES.index(row["colour"]) for row in some],
        )
        figures, seen = verdict(pictures, objects, colours, folder)
        common.Log(folder, "evaluate")(kind=kind, **figures)
        answers[kind] = {row["seed"]: answer for row, answer in zip(some, seen.tolist())}
    if "other" in answers:
        both = answers["asked"].keys() & answers["other"].keys()
        changed = sum(answers["asked"][seed] != answers["other"][seed] for seed in both)
        common.Log(folder, "evaluate")(pairs=len(both), changed=changed / len(both))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["pipeline", "captions", "prompts", "pictures"])
    parser.add_argument("path", type=Path)
    parser.add_argument(
        "--folder", type=Path, default=common.DEFAULT_FOLDER, help="where the classifier lies (default: %(default)s)"
    )
    parser.add_argument("--steps", type=int)
    parser.add_argument("--cfg-scale", type=float)
    parser.add_argument("--count", type=int, default=COUNT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.mode == "pipeline":
        _pipeline(options.folder, options.path, options.steps, options.cfg_scale, options.count)
    elif options.mode == "captions":
        _captions(options.folder, options.path, options.steps, options.cfg_scale, options.count)
    elif options.mode == "prompts":
        _prompts(options.path)
    else:
        _pictures(options.folder, options.path)


if __name__ == "__main__":
    main()
