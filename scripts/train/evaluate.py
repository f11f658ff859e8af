#!/usr/bin/env python3
"""Measures a model folder through the real program: draws held-out scenes with darkroom and has the classifier judge them.

Prints one JSON line of figures for each set of pictures; the pictures and a contact sheet of each set stay in --pictures."""

import argparse
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import captions
import classifier
import common
import scenes

# Sets of pictures, with how many the model card's figures are made of.
COUNTS = {"single": 500, "other": 200, "place": 200, "count": 200, "pair": 200, "phrasing": 200, "nothing": 100}
SURE = 0.5  # how probable the judge holds its answer where it is sure: so are 97 of 100 about what was asked for
LOOK_STEPS = 20  # of DDIM, which the pipeline has before it is exported
PROGRAM = common.ROOT / "scripts" / "run"


@dataclass(frozen=True)
class Case:
    """One picture to ask for, and the scene it should show; None: whatever comes."""

    set: str
    seed: int
    prompt: str
    scene: scenes.Scene | None


def pairs(count: int) -> list[tuple[int, int]]:
    """`count` held-out (object, colour): one of every object, then the next of every object, and so on."""
    every = [
        [(o, c) for c in range(len(scenes.COLOUR_NAMES)) if scenes.held_out(o, c)] for o in range(len(scenes.objects()))
    ]
    rows = [(choices, turn) for turn in range(-(-count // len(every))) for choices in every][:count]
    return [choices[turn % len(choices)] for choices, turn in rows]


def cases(set_: str, count: int) -> list[Case]:
    """The scenes of a set. "nothing" has empty prompts; "other" has the seeds and colours of "single" with another object."""
    if set_ == "nothing":
        return [Case(set_, 1000 + i, "", None) for i in range(count)]
    random = np.random.default_rng((8, list(COUNTS).index(set_)))
    things = len(scenes.objects())
    if set_ == "single":
        asked = [scenes.Scene(o, c, 0) for o, c in pairs(count)]
    elif set_ == "other":
        asked = [scenes.Scene((o + things // 2) % things, c, 0) for o, c in pairs(count)]
    elif set_ == "place":
        places = range(len(scenes.PLACE_NAMES))
        asked = [scenes.Scene(o, c, 0, places[i % len(places)]) for i, (o, c) in enumerate(pairs(count))]
    elif set_ == "count":  # one and two in turn
        asked = [scenes.Scene(o, c, 0, other=o if (i + i // things) % 2 else scenes.NOTHING)
                 for i, (o, c) in enumerate(pairs(count))]  # fmt: skip
    elif set_ == "pair":
        asked = [scenes.draw_scene(random, True, "two different") for _ in range(count)]
    else:
        asked = [scenes.draw_scene(random, True) for _ in range(count)]
    prompts = [captions.caption(scene, random) if set_ == "phrasing" else captions.plain(scene) for scene in asked]
    return [Case(set_, 1000 + i, prompt, scene) for i, (prompt, scene) in enumerate(zip(prompts, asked))]


def verdict(pictures: np.ndarray, asked: list[Case], judge: classifier.Classifier) -> dict:
    """The judge's figures on one set, and which objects it took for which."""
    truth, tensor = [case.scene for case in asked], classifier.to_tensor(pictures)
    seen, names = classifier.judge(judge, tensor), [thing.name for thing in scenes.objects()]
    wrong = [
        f"{names[scene.object]}->{names[answer]}"
        for scene, answer in zip(truth, seen["object"].tolist())
        if scene.count == 1 and scene.object != answer
    ]
    figures = {"set": asked[0].set, "pictures": len(pictures), **classifier.accuracy(judge, tensor, truth)}
    if asked[0].set == "single":
        likeness = [_likeness(picture, scene.object) for picture, scene in zip(pictures, truth)]
        figures["likeness"] = float(np.mean(likeness))
    return figures | {"confused": wrong[:20]}


def undescribed(pictures: np.ndarray, judge: classifier.Classifier) -> dict:
    """Of pictures that nothing was asked of: how many the judge is sure about, and how near these are to an emoji."""
    tensor = classifier.to_tensor(pictures)
    seen = classifier.judge(judge, tensor)["object"].tolist()
    sure = (classifier.certainty(judge, tensor) > SURE).float().mean().item()
    likeness = [_likeness(picture, object_) for picture, object_ in zip(pictures, seen)]
    return {"set": "nothing", "pictures": len(pictures), "sure": sure, "objects": len(set(seen)), "likeness": float(np.mean(likeness))}


def _likeness(picture: np.ndarray, object_: int) -> float:
    """PSNR to the nearest rendering: the large object in each size and place, on the picture's own background."""
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    colour, target = np.median(border, 0), picture.astype(np.float32)
    nearest = min(np.square(candidate - target).mean() for candidate in scenes.renderings(object_, colour))
    return 10 * np.log10(255**2 / nearest)


def quick(pipe, folder: Path, count: int, sheet: str) -> dict:
    """A look at a diffusers pipeline on the way: held-out scenes, three in five of them single ones."""
    import pipeline

    asked = [
        case
        for set_, share in (("single", 0.6), ("place", 0.2), ("pair", 0.2))
        for case in cases(set_, round(count * share))
    ]
    pictures = []
    for start in range(0, len(asked), 25):
        some = asked[start : start + 25]
        output = pipe(
            [case.prompt for case in some],
            generator=[torch.Generator().manual_seed(case.seed) for case in some],
            num_inference_steps=LOOK_STEPS, guidance_scale=pipeline.GUIDANCE, output_type="np",
        )  # fmt: skip
        pictures.append((output.images * 255).round().astype(np.uint8))
    drawn = np.concatenate(pictures)
    scenes.contact_sheet(drawn, 15).save(folder / sheet)
    figures = verdict(drawn, asked, classifier.trained(folder))
    return {name: value for name, value in figures.items() if name not in ("set", "likeness")}


def draw(command: list, asked: list[Case], where: Path, seconds: float | None = None) -> dict[Case, np.ndarray]:
    """Has darkroom draw the cases, one at a time. What is in the folder already is not drawn again, so that it goes on where
    it was after OutOfTime, raised when the seconds are over."""
    prompts = where / "prompts.jsonl"
    rows = [{"id": f"{case.set}-{case.seed}", "prompt": case.prompt, "seed": case.seed} for case in asked]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    program = subprocess.Popen([*command, "--prompt-file", prompts, "-o", where, "--name", "{id}.png"], stdout=subprocess.DEVNULL)
    try:
        status = program.wait(seconds)
    except subprocess.TimeoutExpired:
        program.terminate()
        program.wait()
        raise common.OutOfTime from None
    if status:
        raise RuntimeError(f"{command[0]}: exit status {status}")
    return {case: np.asarray(Image.open(where / f"{row['id']}.png")) for case, row in zip(asked, rows)}


def autoencoder_figures(judge: classifier.Classifier, encoder: Path, decoder: Path, count: int) -> dict:
    """PSNR and the judge's figures on reconstructions of held-out scenes, by the exported encoder and decoder."""
    truth, pictures = scenes.batch(np.random.default_rng(77), count, held=True)
    target = classifier.to_tensor(pictures)
    encode, decode = (torch.jit.load(path, map_location="cpu").float() for path in (encoder, decoder))
    with torch.no_grad():
        output = torch.cat([decode(encode(part)).clamp(-1, 1) for part in target.split(25)])
    psnr = (10 * torch.log10(4 / (output - target).square().mean((1, 2, 3)))).mean().item()
    return {"set": "autoencoder", "pictures": count, "psnr": psnr, **classifier.accuracy(judge, output, truth)}


def measure(command: list, judges: Path, decoder: Path, where: Path, share: float, seconds: float | None = None) -> None:
    """Draws and logs every set. `command` is darkroom with its model; pictures and figures go to the folder `where`."""
    where.mkdir(parents=True, exist_ok=True)
    asked = {name: cases(name, max(10, round(count * share))) for name, count in COUNTS.items()}
    drawn = draw(command, [case for some in asked.values() for case in some], where, seconds)
    log, judge = common.Log(where, "evaluate"), classifier.exported(judges)
    for name, some in asked.items():
        images = np.stack([drawn[case] for case in some])
        log(**(undescribed(images, judge) if name == "nothing" else verdict(images, some, judge)))
        scenes.contact_sheet(images[:200], 20).save(where / f"sheet-{name}.png")
    log(**autoencoder_figures(judge, judges / "encoder.pt", decoder, len(asked["single"])))
    truth, real = scenes.batch(np.random.default_rng(100), max(100, round(4000 * share)), held=True)
    log(set="real", pictures=len(real), **classifier.accuracy(judge, classifier.to_tensor(real), truth))


def contact_sheet(command: list, path: Path) -> None:
    """Every object once on every colour in turn, then a placed one, two alike and two different ones, ten of each."""
    colours, things = len(scenes.COLOURS), len(scenes.objects())
    small, places = scenes.SIZE_NAMES.index("small"), [i for i in range(len(scenes.PLACE_NAMES)) if i != scenes.CENTER]
    asked = [scenes.Scene(o, (o * 5 + o // colours + 5) % colours, 0) for o in range(things)]
    for i in range(10):
        asked.append(scenes.Scene(i * 7, i, small, places[i % len(places)]))
        asked.append(scenes.Scene(i * 9 + 3, (i + 3) % colours, small, other=i * 9 + 3))
        asked.append(scenes.Scene(i * 8 + 14, (i + 7) % colours, small, other=i * 5 + 30))
    rows = [Case("sheet", 1 + i, captions.plain(scene), scene) for i, scene in enumerate(asked)]
    with tempfile.TemporaryDirectory() as folder:
        pictures = draw(command, rows, Path(folder)).values()
    smaller = [np.asarray(Image.fromarray(picture).resize((96, 96), Image.Resampling.LANCZOS)) for picture in pictures]
    sheet = scenes.contact_sheet(smaller, 13)
    sheet.quantize(256, kmeans=3, dither=Image.Dither.NONE).save(path, optimize=True)  # 330 KB instead of 800


def train(options: common.Options) -> None:
    """The stage of train.py: the figures of what it exported."""
    model, judges = options.folder / "emoji", options.folder / "judge"
    measure([PROGRAM, "--model", model], judges, model / "decoder.pt", options.folder / "pictures", 1, options.seconds_left())


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/train/evaluate", description=__doc__)
    parser.add_argument("--model", type=Path, default=common.ROOT / "models" / "emoji", help="default: %(default)s")
    parser.add_argument("--binary", type=Path, default=PROGRAM, help="default: %(default)s")
    parser.add_argument("--judge", type=Path, default=classifier.SHIPPED, help="default: %(default)s")
    parser.add_argument("--pictures", type=Path, help="where pictures and figures are kept (default: a temporary folder)")
    parser.add_argument("--share", type=float, default=1, help="draw this share of the pictures, for a quick look")
    parser.add_argument("--contact-sheet", type=Path, help="draw the contact sheet into this file instead")
    parser.add_argument("options", nargs="*", help="after --: options of darkroom, such as --cfg-scale 4")
    given = parser.parse_args()
    command = [given.binary.resolve(), "--model", given.model, *given.options]
    if given.contact_sheet:
        return contact_sheet(command, given.contact_sheet)
    with tempfile.TemporaryDirectory() as temporary:
        measure(command, given.judge, given.model / "decoder.pt", given.pictures or Path(temporary), given.share)


if __name__ == "__main__":
    main()
