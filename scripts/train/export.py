"""Exports the pipeline as a model folder, with the exporter that real checkpoints use, and what judges it as TorchScript."""

import json
import subprocess
import sys

import torch

import autoencoder
import classifier
import common
import pipeline
import scenes

LICENSE = "MIT (weights); trained on renderings of Noto Color Emoji (SIL OFL 1.1); CLIP vocabulary (MIT)"


class _Encode(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.encoder, self.quant_conv = model.encoder, model.quant_conv

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.quant_conv(self.encoder(pictures)).chunk(2, 1)[0]


def judges(folder) -> None:
    """FOLDER/judge: the classifier, the encoder that reconstructions need, and the names of the classifier's answers."""
    where = folder / "judge"
    where.mkdir(exist_ok=True)
    networks = {"classifier.pt": classifier.trained(folder), "encoder.pt": _Encode(autoencoder.trained(folder))}
    for name, network in networks.items():
        traced = torch.jit.trace(network.eval(), torch.zeros(2, 3, scenes.SIDE, scenes.SIDE))
        traced.half().save(str(where / name))
    labels = {
        "object": [thing.name for thing in scenes.objects()], "colour": scenes.COLOUR_NAMES, "place": scenes.PLACE_NAMES,
        "count": ["one", "two"],
    }  # fmt: skip
    (where / "labels.json").write_text(json.dumps(labels, indent=1) + "\n", encoding="utf-8")


def train(options: common.Options) -> None:
    folder = options.folder
    judges(folder)
    if (folder / "emoji").exists():
        return
    count = len(scenes.objects())
    summary = f"{count} emoji, one or two on {len(scenes.COLOURS)} background colours: a Stable Diffusion in miniature"
    settings = {
        "--name": "emoji", "--license": LICENSE, "--summary": summary, "--width": scenes.SIDE, "--height": scenes.SIDE,
        "--steps": pipeline.STEPS, "--cfg-scale": pipeline.GUIDANCE, "--sampler": pipeline.SAMPLER, "--schedule": pipeline.SCHEDULE,
    }  # fmt: skip
    words = [str(word) for pair in settings.items() for word in pair]
    command = [sys.executable, "-m", "exporter", str(folder / "pipeline"), "-o", str(folder / "emoji"), *words]
    subprocess.run(command, cwd=common.ROOT / "scripts", check=True)
