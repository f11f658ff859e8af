"""Textual inversion: darkroom's pictures against diffusers' with the same embeddings, on random miniatures; and what
scripts/export --embedding makes of pickles."""

import collections
import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from exporting import exporter  # first: it sets the path
from exporter import parity
from exporter.sanity import WIRED
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_parity import task

WIDTHS = {"sd1": (64,), "sd2_v": (64,), "sdxl": (64, 128)}
PROMPTS = ["a photo of <cat-toy> beside a style, sks", "Two style2 boats by SKS, (<cat-toy>)"]


def tensors(family: str, count: int, seed: int, layout: str | None = None) -> dict[str, torch.Tensor]:
    """As strong as a table of tokens of the miniatures; a single vector without a count."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(count, width) if count > 1 else (width,) for width in WIDTHS[family]]
    keys = [layout or "emb_params"] if len(shapes) == 1 else ["clip_l", "clip_g"]
    return {key: 0.1 * torch.randn(shape, generator=generator) for key, shape in zip(keys, shapes)}


@pytest.mark.parametrize("family, sampler", [("sd1", "ddim"), ("sd2_v", "ddim"), ("sdxl", "euler")])
def test_the_same_pictures_as_with_diffusers(family, sampler, gentle, tmp_path):
    source, model = gentle(family)
    toy, style, sks = (tmp_path / f"{name}.safetensors" for name in ("learned_embeds", "style", "other"))
    save_file(tensors(family, 3, 1, "<cat-toy>"), toy)
    save_file(tensors(family, 5, 2), style)
    save_file({key: tensor.half() for key, tensor in tensors(family, 1, 3).items()}, sks)
    first = str(toy) if family != "sdxl" else f"<cat-toy>={toy}"
    asked = task(prompts=PROMPTS, negative="blurry sks" if family == "sd1" else "style", steps=3, width=24, height=32,
                 embeddings=(first, str(style), f"sks={sks}"))
    said = io.StringIO()
    report = parity.check(source, model, asked, sampler, tmp_path, sane=False, report=parity.Report(said))
    print(said.getvalue())
    assert not report.failed

    for folder in ("changed", "plain"):
        (tmp_path / folder).mkdir()
    changed, plain = (parity.with_darkroom(model, replace(asked, embeddings=embeddings), sampler, "leading", tmp_path / folder)[0]
                      for embeddings, folder in ((asked.embeddings, "changed"), ((), "plain")))
    for role, value in plain.told.items():
        assert role == "time_ids" or parity.difference(changed.told[role], value) > WIRED * parity.TOLD, role


VECTORS = torch.arange(12.0).view(3, 4) / 7
ORIGINAL = {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": {"*": torch.nn.Parameter(VECTORS)}}
PICKLES = {
    "a1111": (ORIGINAL | {"name": "sks", "step": 500, "sd_checkpoint": "abc", "sd_checkpoint_name": None}, {"emb_params": VECTORS}),
    "original": (ORIGINAL | {"string_to_param": torch.nn.ParameterDict({"*": torch.nn.Parameter(VECTORS)})}, {"emb_params": VECTORS}),
    "diffusers": ({"<sks>": VECTORS[0]}, {"<sks>": VECTORS[:1]}),
    "ordered": (collections.OrderedDict({"<sks>": VECTORS.half().T}), {"<sks>": VECTORS.half().T.contiguous()}),
    "sdxl": ({"clip_g": VECTORS, "clip_l": VECTORS[:, :2]}, {"clip_g": VECTORS, "clip_l": VECTORS[:, :2].contiguous()}),
    "bare": (VECTORS, {"emb_params": VECTORS}),
}


def convert(file: Path, output: Path, capsys) -> tuple[int, str]:
    code = exporter.main(["--embedding", str(file), "-o", str(output)])
    return code, capsys.readouterr().err


# Of a module the PyTorches before 1.6 wrote the source too; textual inversion is younger.
@pytest.mark.parametrize("kind, legacy", [(kind, False) for kind in PICKLES] + [(kind, True) for kind in PICKLES if kind != "original"])
def test_pickles_are_converted(kind, legacy, tmp_path, capsys):
    content, wanted = PICKLES[kind]
    torch.save(content, tmp_path / "x.pt", _use_new_zipfile_serialization=not legacy)
    code, said = convert(tmp_path / "x.pt", tmp_path / "y.safetensors", capsys)
    assert code == 0, said
    assert f"{tmp_path}/y.safetensors: " in said and "vectors of" in said
    made = load_file(tmp_path / "y.safetensors")
    assert set(made) == set(wanted)
    for key, tensor in wanted.items():
        assert made[key].dtype == tensor.dtype and torch.equal(made[key], tensor)
    assert sorted(os.listdir(tmp_path)) == ["x.pt", "y.safetensors"]


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


BAD = {
    "code": ({"string_to_param": Harmful()}, "holds code: reading it as a pickle would call posix.mkdir; nothing of it was run"),
    "model": ({"a.weight": VECTORS, "b.weight": VECTORS}, "is no textual inversion embedding: it holds 'a.weight' and 1 more tensors"),
    "words": (ORIGINAL | {"string_to_param": {"a": VECTORS, "b": VECTORS}}, "holds 2 words"),
    "nan": ({"<sks>": VECTORS / 0}, "holds '<sks>' with values that are no numbers"),
    "shape": ({"<sks>": VECTORS[None]}, "'<sks>' is torch.float32 of the shape [1, 3, 4]"),
    "nothing": ({}, "is no textual inversion embedding: it holds 'no tensor'"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_embedding_is_refused(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save(BAD[kind][0], tmp_path / "x.pt")
    code, said = convert(tmp_path / "x.pt", tmp_path / "y.safetensors", capsys)
    assert code == 1
    assert said.startswith(f"export: {tmp_path}/x.pt: ") and BAD[kind][1] in said
    assert os.listdir(tmp_path) == ["x.pt"]


def test_files_that_are_no_pickles_and_places_that_are_taken(tmp_path, capsys):
    save_file({"emb_params": VECTORS}, tmp_path / "x.safetensors")
    assert "darkroom reads as it is" in convert(tmp_path / "x.safetensors", tmp_path / "y.safetensors", capsys)[1]
    torch.save({"<sks>": VECTORS}, tmp_path / "x.pt")
    assert "exists already" in convert(tmp_path / "x.pt", tmp_path / "x.safetensors", capsys)[1]
    assert "becomes a .safetensors file" in convert(tmp_path / "x.pt", tmp_path / "y.pt", capsys)[1]
    (tmp_path / "cut.pt").write_bytes((tmp_path / "x.pt").read_bytes()[:-60])
    assert "cut.pt: is" in convert(tmp_path / "cut.pt", tmp_path / "y.safetensors", capsys)[1]
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert list(file.keys()) == ["emb_params"]
