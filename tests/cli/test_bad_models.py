"""Models that are not there, damaged, or of no use: exit 3, or 5 for a network that gives NaN."""

import hashlib
import json
import shutil

import pytest
from conftest import MODELS


def edit(model, change):
    """Changes model.json through a function of its content."""
    file = model / "model.json"
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps(manifest))


def replace_network(model, content):
    """Another file in the place of the denoiser, with a hash that fits it."""
    (model / "unet.pt").write_bytes(content)
    edit(model, lambda m: m["networks"]["unet"].update(sha256=hashlib.sha256(content).hexdigest()))


def refusal(darkroom, model, code=3):
    result = darkroom.make("x", "-m", model, "-o", "x.png")
    assert result.code == code, result.err
    assert darkroom.files() == []
    return result.err


def test_missing_folder(darkroom):
    assert "no such folder" in refusal(darkroom, "./nothing")


def test_unknown_name(darkroom):
    assert "did you mean 'tiny'?" in refusal(darkroom, "tinny")


def test_folder_without_a_manifest(darkroom):
    (darkroom.folder / "empty").mkdir()
    assert "holds no model.json" in refusal(darkroom, "empty")


def test_missing_file(darkroom):
    model = darkroom.copy_model()
    (model / "decoder.pt").unlink()
    assert "decoder.pt" in refusal(darkroom, model)


def test_wrong_hash(darkroom):
    model = darkroom.copy_model()
    with open(model / "unet.pt", "ab") as file:
        file.write(b"x")
    message = refusal(darkroom, model)
    assert "unet.pt" in message and "SHA-256" in message
    assert darkroom.run("inspect", model).code == 0  # which reads no network
    verified = darkroom.run("inspect", model, "--verify")
    assert verified.code == 3 and "unet.pt" in verified.err


def test_truncated_network(darkroom):
    model = darkroom.copy_model()
    replace_network(model, (model / "unet.pt").read_bytes()[:5000])
    assert "unet.pt" in refusal(darkroom, model)


def test_random_bytes(darkroom):
    model = darkroom.copy_model()
    replace_network(model, bytes(range(256)) * 40)
    message = refusal(darkroom, model)
    assert "unet.pt" in message
    assert "C++" not in message and "frame #" not in message


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda m: m.update(stepz=3), "stepz"),
        (lambda m: m.pop("stages"), "stages"),
        (lambda m: m["stages"][0].update(prediction="epsilom"), "epsilom"),
        (lambda m: m["stages"][0].update(kind="cascade"), "cascade"),
        (lambda m: m.update(format=99), "99"),
        (lambda m: m["defaults"].update(width="64"), "width"),
    ],
)
def test_wrong_key(darkroom, change, message):
    model = darkroom.copy_model()
    edit(model, change)
    text = refusal(darkroom, model)
    assert "model.json" in text and message in text


def test_broken_json(darkroom):
    model = darkroom.copy_model()
    (model / "model.json").write_text('{"format": 1,\n "name": }')
    assert "model.json" in refusal(darkroom, model)


def test_wrong_shape(darkroom):
    model = darkroom.copy_model()
    edit(model, lambda m: m["stages"][0].update(state=["5", "h/2", "w/2"]))
    assert "unet" in refusal(darkroom, model)


def test_a_network_that_gives_nan(darkroom):
    assert "NaN" in refusal(darkroom, "nan", code=5)


def test_a_precision_the_model_does_not_run_at(darkroom):
    model = darkroom.copy_model()
    edit(model, lambda m: m["networks"]["unet"].update(precisions=["fp32", "fp16"]))
    result = darkroom.make("x", "-m", model, "--precision", "bf16")
    assert result.code == 2 and darkroom.files() == []
    assert "precision 'bf16': the denoiser of 'tiny' does not run at it (allowed: fp32, fp16)" in result.err
    edit(model, lambda m: m["networks"]["unet"].pop("precisions"))
    edit(model, lambda m: m["networks"]["decoder"].update(precisions=["fp32"]))
    result = darkroom.make("x", "-m", model, "--precision", "bf16", "-o", "x.png")  # the decoder alone falls back
    assert result.code == 0, result.err


def test_verbose_says_all_that_libtorch_said(darkroom):
    model = darkroom.copy_model()
    edit(model, lambda m: m["stages"][0].update(state=["5", "h/2", "w/2"]))
    short, long = (darkroom.make("x", "-m", model, *more).err for more in ([], ["-v"]))
    assert "Traceback" not in short
    assert "Traceback" in long


def test_a_damaged_model_does_not_hide_the_others(darkroom):
    folder = darkroom.copy_model()
    (folder / "model.json").write_text("{}")
    for name in ("sound", ".left.export-12345678"):
        shutil.copytree(MODELS / "tiny", darkroom.folder / name)
    darkroom.environment["DARKROOM_MODELS"] = str(darkroom.folder)
    result = darkroom.run("list", "models")
    assert result.code == 0
    assert ".left" not in result.out
    assert "unusable" in result.out and "Random weights, epsilon prediction" in result.out
