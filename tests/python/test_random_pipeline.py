"""Random pipelines: the published architectures, and the whole of scripts/parity --random on narrow ones."""

import os
import sys

import pytest
import torch
from exporting import ROOT, export  # first: it sets the path
from exporter import parity, random_pipeline, single_file
from exporter.random_pipeline import ARCHITECTURES, parts_of, write_random_pipeline
from safetensors.torch import load_file
from test_export_single_file import Shapes

os.environ.setdefault("DARKROOM_BINARY", str(ROOT / "build" / "darkroom"))
UNETS = {"sd1": [64, 128, 128, 128], "sd2": [64, 128, 128, 128], "sdxl": [64, 128, 128]}
CASES = {"sd1": [], "sd2-v": ["--negative-prompt", "blurry"], "sdxl": ["--stored", "fp16"]}


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_the_architecture_is_the_published_one(family, monkeypatch):
    monkeypatch.setattr(single_file, "Checkpoint", lambda file: Shapes(family))
    published, _ = single_file.read_single_file("published.safetensors")
    parts = parts_of(single_file.families()[family], ARCHITECTURES[family])
    assert parts.keys() == published.parts.keys()
    for name, part in parts.items():
        mine, theirs = part.empty(), published.parts[name].empty()
        assert {key: value.shape for key, value in mine.state_dict().items()} == {
            key: value.shape for key, value in theirs.state_dict().items()}
        for key in ("attention_head_dim", "num_attention_heads", "hidden_act", "eos_token_id", "pad_token_id", "scaling_factor"):
            assert getattr(mine.config, key, None) == getattr(theirs.config, key, None), key


@pytest.fixture
def narrow(monkeypatch):
    """Makes the architectures so, with as many layers on a level as there are."""
    def settings(family: str) -> dict:
        shape = ARCHITECTURES[family]
        encoders = {name: (64 * number, 2) for number, name in enumerate(shape, 0) if name != "unet"}
        context = sum(width for width, _ in encoders.values())
        unet = {"block_out_channels": UNETS[family], "cross_attention_dim": context, "layers_per_block": 1}
        if family != "sd1":
            unet["attention_head_dim"] = [width // 64 for width in UNETS[family]]
        if family == "sdxl":
            unet |= {"transformer_layers_per_block": [1, 1, 2], "projection_class_embeddings_input_dim": 128 + 6 * 256}
        return {"unet": shape["unet"] | unet} | encoders

    monkeypatch.setattr(random_pipeline, "ARCHITECTURES", {family: settings(family) for family in ARCHITECTURES})
    monkeypatch.setattr(random_pipeline, "TOKENS", 1000)
    monkeypatch.setattr(random_pipeline, "AUTOENCODER", random_pipeline.AUTOENCODER | {"block_out_channels": [32] * 4, "layers_per_block": 1})


@pytest.mark.parametrize("family", CASES)
def test_random_networks_are_sane_and_make_the_same_pictures(family, narrow, quick, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(parity, "export", lambda source, model, stored, _: export(source, model, "--precision", stored))
    size = ["--width", "64", "--height", "48", "--steps", "3"]
    monkeypatch.setattr(sys, "argv", ["parity", "--random", family, "--work", str(tmp_path / "work"), *size, *CASES[family]])
    assert parity.main() == 0
    said = capsys.readouterr().out
    assert "moved by another context" in said and "pixels, share that differs" in said and "peak" in said
    kind = f"{family}-{'fp16' if CASES[family][:1] == ['--stored'] else 'fp32'}"  # so that another's are not taken for it
    assert sorted(file.name for file in (tmp_path / "work").iterdir()) == [f"model-{kind}", f"source-{kind}"]


def test_the_weights_are_the_same_at_every_call(narrow, tmp_path):
    for name, stored in (("a", torch.float32), ("b", torch.float32), ("half", torch.float16)):
        write_random_pipeline("sd1", tmp_path / name, stored)
    for file in sorted((tmp_path / "a").rglob("*.safetensors")):
        a, b, half = (load_file(tmp_path / name / file.relative_to(tmp_path / "a")) for name in ("a", "b", "half"))
        assert all(torch.equal(a[key], b[key]) and torch.equal(a[key].half(), half[key]) for key in a)
        assert all(value.std() > 0 for value in a.values() if value.numel() > 1)
