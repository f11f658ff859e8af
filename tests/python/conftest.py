"""Miniatures for the tests of scripts/export and of whole pictures. Importing what they are made with takes seconds, which
other tests here need not wait for."""

import json
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Family -> its pipeline saved as diffusers does."""
    from exporting import ROOT  # noqa: F401  sets the path
    from miniatures import miniature

    saved = {}

    def save(family: str) -> Path:
        if family not in saved:
            saved[family] = tmp_path_factory.mktemp(family) / "source"
            miniature(family).save_pretrained(saved[family])
        return saved[family]

    return save


@pytest.fixture
def folder(folders, tmp_path):
    """A folder of Stable Diffusion 1 that a test may spoil."""
    return Path(shutil.copytree(folders("sd1"), tmp_path / "spoiled"))


def quicken(patch: pytest.MonkeyPatch) -> None:
    """Leaves out of the exporter's checks what takes a second or two each: pictures of common size, half precisions."""
    from exporter import checks

    patch.setattr(checks, "PICTURES", [])
    patch.setattr(checks, "HALVES", {})


@pytest.fixture
def quick(monkeypatch):
    quicken(monkeypatch)


@pytest.fixture(scope="session")
def models(folders, tmp_path_factory):
    """Family -> its exported model folder, at float32."""
    from exporting import export

    exported = {}

    def model(family: str) -> Path:
        if family not in exported:
            with pytest.MonkeyPatch.context() as patch:
                quicken(patch)
                output = tmp_path_factory.mktemp("models") / family
                exported[family] = export(folders(family), output, "--precision", "fp32")
        return exported[family]

    return model


# Where betas end instead: random networks answer too roughly for latents to stay sane from noise as strong as the families'
# own.
GENTLE = {"sd2": 0.006, "sd_turbo": 0.003, "sdxl": 0.004, "sdxl_turbo": 0.004, "refiner": 0.004, "lcm": 0.004,
          "lcm_sdxl": 0.004}


def edited(folder: Path, output: Path, file: str, change) -> Path:
    """A copy whose JSON file is changed."""
    shutil.copytree(folder, output, copy_function=lambda old, new: Path(new).symlink_to(old))
    content = json.loads((folder / file).read_text())
    change(content)
    (output / file).unlink()
    (output / file).write_text(json.dumps(content))
    return output


@pytest.fixture(scope="session")
def gentle(folders, models, tmp_path_factory):
    """Family -> its pipeline folder, and the model made of it, with a schedule that a random network can follow."""
    made = {}

    def pair(family: str) -> tuple[Path, Path]:
        if family not in GENTLE:
            return folders(family), models(family)
        if family not in made:
            copies = tmp_path_factory.mktemp(f"gentle-{family}")
            change = {"beta_end": GENTLE[family]}
            made[family] = (
                edited(folders(family), copies / "source", "scheduler/scheduler_config.json", lambda it: it.update(change)),
                edited(models(family), copies / family, "model.json", lambda it: it["stages"][0]["schedule"].update(change)))
        return made[family]

    return pair
