"""Exports miniatures, and uses model folders as model.json says."""

import io
import json
import os
import sys
from contextlib import redirect_stderr
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "goldens")]
os.environ["HF_HUB_OFFLINE"] = "1"
from exporter import __main__ as exporter  # noqa: E402


def export(source: Path, output: Path, *words: str) -> Path:
    """As scripts/export does with these words; returns the model folder."""
    exporter.export(exporter.parse([str(source), "-o", str(output), *words]))
    return output


def fault(source: Path, *words: str, code: int = 1) -> str:
    """What the exporter says last, in one line, of a source that it refuses; nothing may be left beside it."""
    before = sorted(source.parent.iterdir())
    with redirect_stderr(io.StringIO()) as said:
        assert exporter.main([str(source), "-o", str(source.parent / "out"), *words]) == code
    assert sorted(source.parent.iterdir()) == before
    *progress, last = said.getvalue().splitlines()
    assert all(line.startswith("export: ") for line in [*progress, last]), said.getvalue()
    return last


def edit(file: Path, **changes) -> None:
    """Of the JSON in it."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


class Model:
    """A model folder, used as model.json says."""

    def __init__(self, folder: Path):
        self.json = json.loads((folder / "model.json").read_text())
        self.networks = {name: torch.jit.load(str(folder / entry["file"])).float()
                         for name, entry in self.json["networks"].items()}

    def run(self, name: str, **inputs) -> dict:
        entry = self.json["networks"][name]
        assert set(entry["inputs"]) == set(inputs)
        with torch.no_grad(), torch.jit.optimized_execution(False):
            outputs = self.networks[name](*(inputs[role] for role in entry["inputs"]))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return dict(zip(entry["outputs"], outputs, strict=True))

    def condition(self, prompt: str | None, tokenizers: dict, numbers: dict, skip: int = 0) -> dict:
        """Role -> what the denoiser is told of one picture."""
        told = {}
        for entry in self.json["conditioning"]:
            if "values" in entry:
                told[entry["role"]] = torch.tensor([[float(numbers[name]) for name in entry["values"]]])
                continue
            names = entry["tokenizer"] if isinstance(entry["tokenizer"], list) else [entry["tokenizer"]]
            parts = []
            for source, name in zip(entry["from"], names, strict=True):
                network, output = source.split(".")
                ids = tokenizers[name](prompt or "", padding="max_length", truncation=True, return_tensors="pt").input_ids
                outputs = self.run(network, ids=ids)
                parts.append(outputs["layers"][:, skip] if skip and output == "hidden" else outputs[output])
            told[entry["role"]] = torch.cat(parts, dim=-1)
            if prompt is None and entry["empty"] == "zeros":
                told[entry["role"]] = torch.zeros_like(told[entry["role"]])
        return told
