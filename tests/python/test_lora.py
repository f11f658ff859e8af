"""LoRA files as every trainer names them, on random miniatures: darkroom's pictures against diffusers' with them fused."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("peft")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "goldens"), str(ROOT / "tests" / "python")]
from exporter import parity  # noqa: E402
from exporter.sanity import WIRED  # noqa: E402
from lora_files import (  # noqa: E402
    diffusers_file,
    kohya,
    modules,
    original_keys,
    original_names,
    peft_file,
    processors_file,
    random_lora,
)
from miniatures import miniature  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from test_parity import task  # noqa: E402


def of_transformers(component: str, name: str) -> bool:
    return component != "unet" or "attentions" in name


def by_original_names(lora: dict) -> dict:
    """As kohya's trainers write those of SDXL, whose U-Net there is the original's."""
    unet = miniature("sdxl").unet
    names = original_names(unet, original_keys([32, 64, 128], [0, 1, 2], 1, added=True))
    renamed = {(component, names[name] if component == "unet" else name): pair for (component, name), pair in lora.items()}
    return kohya(renamed, lambda _: 1.5, first_encoder="te1")


FILES = {"kohya": lambda lora: kohya(lora, lambda _: 1.5), "peft": peft_file, "diffusers": diffusers_file,
         "processors": processors_file, "original": by_original_names}
CASES = [("sd1", "kohya"), ("sd2_v", "kohya"), ("sd2_v", "processors"), ("sdxl", "original"), ("sdxl", "peft"),
         ("sdxl", "diffusers"), ("pruned_sdxl", "peft")]


@pytest.mark.parametrize("family, naming", CASES)
def test_the_same_pictures_as_fused(family, naming, gentle, tmp_path):
    source, model = gentle(family)
    torch.manual_seed(5)
    lora = {place: {part: 0.5 * tensor for part, tensor in pair.items()}
            for place, pair in random_lora(modules(miniature(family), of_transformers)).items()}
    file = tmp_path / "x.safetensors"
    save_file(FILES[naming](lora), file)
    asked = task(loras=(f"{file}:0.7",), negative="blurry", steps=3, width=24, height=32)
    said = io.StringIO()
    report = parity.check(source, model, asked, "ddim", tmp_path, sane=False, report=parity.Report(said))
    print(said.getvalue())
    assert not report.failed

    for folder in ("changed", "plain"):
        (tmp_path / folder).mkdir()
    changed, plain = (parity.with_darkroom(model, replace(asked, loras=loras), "ddim", "leading", tmp_path / folder)[0]
                      for loras, folder in ((asked.loras, "changed"), ((), "plain")))
    moved = {role: parity.difference(changed.told[role], value) for role, value in plain.told.items() if role != "time_ids"}
    assert all(value > WIRED * parity.TOLD for value in moved.values()), moved
    assert parity.difference(changed.latents[-1], plain.latents[-1]) > WIRED * parity.LATENTS
