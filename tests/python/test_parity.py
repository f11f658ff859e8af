"""The same pictures by diffusers and by darkroom from random miniatures of the families: scripts/parity."""

import io
import json
import math
import os

import pytest

from exporting import ROOT  # first: it sets the path
from exporter import parity
from exporter.scheduler import sampler_of
from miniatures import miniature

os.environ.setdefault("DARKROOM_BINARY", str(ROOT / "build" / "darkroom"))
TWO = ["a slice of pizza on a teal background", "the café's 2 best boats! ☂"]


def task(**changes) -> parity.Task:
    return parity.Task(**{"prompts": TWO, "seeds": [3, 4294967295], "negative": None, "width": 40, "height": 48, "steps": 4,
                          "guidance": 6.0} | changes)


# Of every family DDIM and three samplers more, one of them the pipeline's own (None); an order of 2, noise, no guidance, no
# negative prompt and an empty one are each somewhere.
CASES = [
    ("sd1", None, task()),
    ("sd1", "ddim", task(negative="blurry", steps=5)),
    ("sd1", "dpm++2m", task(guidance=1.0)),
    ("sd1", "heun", task(steps=3)),
    ("sd1", "euler_a", task(prompts=TWO[:1], seeds=[7])),
    ("sd1_taesd", None, task(steps=3)),
    ("sd1_taesd", "ddim", task(steps=3)),
    ("sd1_taesd", "unipc", task(negative="")),
    ("sd1_taesd", "deis", task(guidance=1.0)),
    ("lcm", None, task()),
    ("lcm", "ddim", task(steps=5)),
    ("lcm", "euler_a", task(guidance=1.0, steps=3)),
    ("lcm", "dpm++2m", task()),
    ("lcm_sdxl", None, task()),
    ("lcm_sdxl", "ddim", task(steps=3)),
    ("lcm_sdxl", "heun", task(guidance=1.0, steps=3)),
    ("lcm_sdxl", "unipc", task()),
    ("sd2", None, task()),
    ("sd2", "ddim", task(negative="blurry")),
    ("sd2", "dpm++2m", task(negative="", steps=3)),
    ("sd2", "euler_a", task(guidance=1.0)),
    ("sd2_v", None, task()),
    ("sd2_v", "unipc", task(negative="")),
    ("sd2_v", "euler", task(guidance=1.0)),
    ("sd2_v", "dpm++2m", task(negative="blurry", steps=3)),
    ("sd_turbo", None, task(guidance=1.0, steps=2)),
    ("sd_turbo", "ddim", task(steps=3)),
    ("sd_turbo", "lcm", task(guidance=1.0)),
    ("sd_turbo", "euler_a", task(guidance=1.0, steps=1)),
    ("sdxl", None, task()),
    ("sdxl", "ddim", task(negative="")),
    ("sdxl", "dpm++2m", task(negative="blurry", steps=3)),
    ("sdxl", "euler_a", task(guidance=1.0, prompts=TWO[1:], seeds=[12])),
    ("sdxl_turbo", None, task(guidance=1.0, steps=2)),
    ("sdxl_turbo", "ddim", task(steps=3)),
    ("sdxl_turbo", "euler", task(guidance=1.0)),
    ("sdxl_turbo", "dpm++2m", task(negative="", steps=3)),
    ("pruned_sdxl", None, task(negative="")),
    ("pruned_sdxl", "ddim", task(guidance=1.0, steps=3)),
    ("pruned_sdxl", "euler_a", task(negative="blurry")),
    ("pruned_sdxl", "unipc", task(steps=3, guidance=2.0)),
]


@pytest.mark.parametrize("family, sampler, asked", CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_the_same_pictures(family, sampler, asked, gentle, tmp_path):
    source, model = gentle(family)
    said = io.StringIO()
    first = sampler is None  # that the networks are alive and listen is a property of the family
    report = parity.check(source, model, asked, sampler, tmp_path, sane=first, report=parity.Report(said))
    print(said.getvalue())
    assert not report.failed


def test_a_difference_is_named_where_it_begins(gentle, tmp_path):
    source, model = gentle("sd1")
    damaged = tmp_path / "model"
    damaged.mkdir()
    for file in model.iterdir():
        (damaged / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((model / "model.json").read_text())
    manifest["stages"][0]["steps_offset"] = 0
    (damaged / "model.json").write_text(json.dumps(manifest))
    (tmp_path / "pictures").mkdir()
    report = parity.check(source, damaged, task(), "ddim", tmp_path / "pictures", sane=False, report=parity.Report(io.StringIO()))
    assert report.failed[0] == "latents after step 1"


@pytest.mark.parametrize("family", dict.fromkeys(family for family, _, _ in CASES))
def test_every_family_has_ddim_and_three_more(family):
    own = sampler_of(miniature(family).scheduler)
    samplers = [sampler or own for name, sampler, _ in CASES if name == family]
    assert "ddim" in samplers and len(set(samplers)) == len(samplers) >= 4


@pytest.mark.parametrize("values, good", [
    ([1.0, 2.0], True), ([2.0, 3.5], False), ([0.5, 2.0], False), ([math.nan, 2.0], False), ([2.0, math.nan], False)])
def test_a_value_outside_or_nan_fails_wherever_it_stands(values, good):
    report = parity.Report(io.StringIO())
    report.within("x", values, (1.0, 3.0))
    assert report.failed == ([] if good else ["x"])
