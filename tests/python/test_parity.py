"""The same pictures by diffusers and by darkroom from random miniatures of the families: scripts/parity."""

import io
import json
import os
from pathlib import Path

import pytest

from exporting import ROOT, export  # first: it sets the path
from exporter import checks, parity
from miniatures import miniature

os.environ.setdefault("DARKROOM_BINARY", str(ROOT / "build" / "darkroom"))
# Random networks answer too roughly for latents to stay sane from noise as strong as the families' own.
GENTLE = {"sdxl": 0.004, "lcm": 0.004}
TWO = ["a slice of pizza on a teal background", "the café's 2 best boats! ☂"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Family -> its pipeline folder and the model made of it."""
    made = {}

    def make(family: str) -> tuple[Path, Path]:
        if family not in made:
            source, model = tmp_path_factory.mktemp(family) / "source", tmp_path_factory.mktemp("models") / family
            pipeline = miniature(family)
            if family in GENTLE:
                pipeline.scheduler.register_to_config(beta_end=GENTLE[family])
            pipeline.save_pretrained(source)
            export(source, model, "--precision", "fp32")
            made[family] = source, model
        return made[family]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "PICTURES", [])  # a second or two each, and test_export.py has them
        yield make


def task(**changes) -> parity.Task:
    return parity.Task(**{"prompts": TWO, "seeds": [3, 4294967295], "negative": None, "width": 40, "height": 48, "steps": 4,
                          "guidance": 6.0} | changes)


CASES = [
    ("sd1", None, task()),
    ("sd1", "ddim", task(negative="blurry", steps=5)),
    ("sd1", "dpm++2m", task(guidance=1.0)),
    ("sd1", "heun", task(steps=3)),
    ("sd1", "euler_a", task(prompts=TWO[:1], seeds=[7])),
    ("sd1_taesd", "ddim", task(steps=3)),
    ("lcm", None, task()),
    ("sd2_v", None, task()),
    ("sd2_v", "unipc", task(negative="")),
    ("sdxl", None, task()),
    ("sdxl", "ddim", task(negative="")),
    ("sdxl", "dpm++2m", task(negative="blurry", steps=3)),
    ("sdxl", "euler", task(guidance=1.0, prompts=TWO[1:], seeds=[12])),
    ("pruned_sdxl", "euler", task(steps=3, guidance=2.0)),
]


@pytest.mark.parametrize("family, sampler, asked", CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_the_same_pictures(family, sampler, asked, exported, tmp_path):
    source, model = exported(family)
    said = io.StringIO()
    first = sampler is None  # that the networks are alive and listen is a property of the family
    report = parity.check(source, model, asked, sampler, tmp_path, sane=first, report=parity.Report(said))
    print(said.getvalue())
    assert not report.failed


def test_a_difference_is_named_where_it_begins(exported, tmp_path):
    source, model = exported("sd1")
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
