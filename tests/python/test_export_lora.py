"""LoRA files merged by scripts/export: the model's pictures against those of the plain export, run with darkroom's --lora."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from exporting import ROOT, export, fault  # first: it sets the path
from exporter import __main__ as exporter
from exporter import checks, parity
from exporter.lora import Lora
from lora_files import kohya, modules, random_lora
from miniatures import miniature
from original_layout import in_original_layout
from pipeline_models import tiny
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_lora import FILES
from test_parity import task

UNET = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"


def everything(component: str, name: str) -> bool:
    return True


def different_alphas(lora: dict) -> dict:
    return kohya(lora, lambda index: 1.0 + index % 3)


CASES = [("sd1", "kohya", different_alphas), ("sd1", "peft", FILES["peft"]), ("sd1", "diffusers", FILES["diffusers"]),
         ("sdxl", "original", FILES["original"]), ("sdxl", "peft", FILES["peft"]), ("sdxl", "diffusers", FILES["diffusers"])]


def lora_file(file: Path, family: str, names=FILES["kohya"], seed: int = 5) -> Path:
    torch.manual_seed(seed)
    lora = {place: {part: 0.3 * tensor for part, tensor in pair.items()}
            for place, pair in random_lora(modules(miniature(family), everything)).items()}
    save_file(names(lora), file)
    return file


@pytest.mark.parametrize("family, naming, names", CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_the_same_pictures_as_at_run_time(family, naming, names, gentle, quick, tmp_path):
    source, plain = gentle(family)
    words = [f"{lora_file(tmp_path / 'a.safetensors', family, names)}:0.7",
             f"{lora_file(tmp_path / 'b.safetensors', family, names, seed=6)}:-0.4"]
    merged = export(source, tmp_path / "merged", "--precision", "fp32", *(f"--lora={word}" for word in words))
    asked = task(negative="blurry", steps=2, width=24, height=32)
    records = {}
    for name, model, loras in (("merged", merged, ()), ("run", plain, words), ("plain", plain, ())):
        folder = tmp_path / f"pictures-{name}"
        folder.mkdir()
        records[name] = parity.with_darkroom(model, replace(asked, loras=tuple(loras)), "ddim", "leading", folder)[0]
    told = {name: record.told | {"latents": record.latents} for name, record in records.items()}
    for role, value in told["run"].items():
        assert parity.difference(told["merged"][role], value) <= 1e-5, role
        if role not in ("time_ids", "guidance"):
            assert parity.difference(told["plain"][role], value) > 1e-3, role
    assert abs(records["merged"].pictures.astype(int) - records["run"].pictures).max() <= 1


def test_what_is_merged_is_recorded_and_rounded_once(folders, quick, tmp_path):
    file = lora_file(tmp_path / "style.safetensors", "sd1")
    model = export(folders("sd1"), tmp_path / "merged", "--lora", f"{file}:0.5")
    (merged,) = json.loads((model / "model.json").read_text())["merged"]
    assert merged == {"file": "style.safetensors", "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "weight": 0.5}
    stored = torch.jit.load(str(model / "unet.pt")).state_dict()
    for name, weight in miniature("sd1").unet.state_dict().items():
        stem = f"lora_unet_{name.removesuffix('.weight').replace('.', '_')}"
        tensors = load_file(file)
        if f"{stem}.alpha" not in tensors:
            assert torch.equal(stored[name], weight.half())
            continue
        down, up, alpha = (tensors[f"{stem}.{end}"] for end in ("lora_down.weight", "lora_up.weight", "alpha"))
        change = 0.5 * alpha / len(down) * (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
        assert torch.allclose(stored[name].float(), weight + change, rtol=2**-11, atol=2**-24)
        assert not torch.equal(stored[name], weight.half())


def test_a_single_file_takes_a_lora(folders, quick, tmp_path):
    save_file(in_original_layout(miniature("sdxl")), tmp_path / "source.safetensors")
    lora = lora_file(tmp_path / "style.safetensors", "sdxl", FILES["original"])
    models = [export(source, tmp_path / name, "--lora", str(lora))
              for name, source in (("file", tmp_path / "source.safetensors"), ("folder", folders("sdxl")))]
    for name in ("text", "text_2", "unet", "decoder"):
        a, b = (torch.jit.load(str(model / f"{name}.pt")).state_dict() for model in models)
        assert all(torch.equal(a[key], b[key]) for key in a)


with safe_open(ROOT / "tests/goldens/lora.safetensors", "pt") as goldens:
    GOLDEN = {key: json.loads(goldens.metadata()[key]) for key in ("cases", "files")}
    RECORDED = {name: goldens.get_tensor(name) for name in goldens.keys()}


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_recorded_changes(case, tmp_path):
    """Of diffusers' fuse_lora and of the trainers' formula: tests/goldens/record_lora.py."""
    pipeline = tiny()
    for name, weight in case["loras"]:
        file, prefix = tmp_path / f"{name}.safetensors", f"file.{name}/"
        tensors = {key.removeprefix(prefix): value for key, value in RECORDED.items() if key.startswith(prefix)}
        save_file(tensors, file, GOLDEN["files"][name])
        lora = Lora(f"{file}:{weight}", pipeline)
        assert not lora.unused
        for component in lora.pairs:
            setattr(pipeline, component, lora.merge(component, getattr(pipeline, component)))
    untouched = tiny()
    for component, network in (("unet", "unet"), ("text_encoder", "text")):
        plain = getattr(untouched, component).state_dict()
        for name, weight in getattr(pipeline, component).state_dict().items():
            wanted = RECORDED.get(f"{case['name']}/{network}/{name}", plain[name])
            assert torch.equal(weight, plain[name]) == torch.equal(wanted, plain[name]), name
            assert checks.largest_difference(weight, wanted) <= 1e-6, name


def pair(module: str = UNET, width: int = 64, **more) -> dict:
    return {f"{module}.lora_down.weight": torch.ones(2, width), f"{module}.lora_up.weight": torch.ones(32, 2),
            f"{module}.alpha": torch.tensor(2.0)} | {f"{module}.{end}": torch.ones(2, 2) for end in more}


UNET_PAIR = pair()
BAD = {  # what the file holds, what is said of it
    "dora": (UNET_PAIR | {f"{UNET}.dora_scale": torch.ones(2)}, f"is DoRA ('{UNET}.dora_scale'), which cannot be merged"),
    "loha": ({f"{UNET}.hada_w1_a": torch.ones(2)}, "is LoHa ("),
    "lokr": ({f"{UNET}.lokr_w1": torch.ones(2)}, "is LoKr ("),
    "difference": (UNET_PAIR | {f"{UNET}.diff_b": torch.ones(2)}, "is a full difference of weights ("),
    "of sdxl": (pair(width=2048), "does not fit the model: "),
    "of flux": (pair("lora_unet_double_blocks_0_img_attn_proj"), "changes nothing in this model: it has lora_unet_double_blocks_0"),
    "untrained": (UNET_PAIR | {f"{UNET}.lora_up.weight": torch.zeros(32, 2)}, "changes nothing in this model"),
    "a model": ({"model.diffusion_model.out.0.weight": torch.ones(4)}, "changes nothing in this model: it has model.diffusion_model.out"),
    "whole numbers": (UNET_PAIR | {f"{UNET}.lora_up.weight": torch.ones(32, 2, dtype=torch.int8)},
                      f"holds '{UNET}.lora_up.weight' as int8, not as float32, float16 or bfloat16"),
    "float8": (UNET_PAIR | {f"{UNET}.lora_down.weight": torch.ones(2, 64).to(torch.float8_e4m3fn)}, "as float8_e4m3fn"),
    "rank 0": (pair() | {f"{UNET}.lora_down.weight": torch.ones(0, 64), f"{UNET}.lora_up.weight": torch.ones(32, 0)},
               f"holds '{UNET}.lora_down.weight' of the shape [0, 64]"),
    "flat": (UNET_PAIR | {f"{UNET}.lora_down.weight": torch.ones(2)}, f"holds '{UNET}.lora_down.weight' of the shape [2]"),
    "flat middle": (UNET_PAIR | {f"{UNET}.lora_mid.weight": torch.ones(2)}, f"holds '{UNET}.lora_mid.weight' of the shape [2]"),
    "two alphas": (UNET_PAIR | {f"{UNET}.alpha": torch.ones(2)}, f"holds '{UNET}.alpha', which is not one number"),
    "no alpha": (UNET_PAIR | {f"{UNET}.alpha": torch.tensor(torch.nan)}, f"holds '{UNET}.alpha', which is not one number"),
    "half": ({f"{UNET}.lora_up.weight": torch.ones(32, 2)}, "changes nothing in this model"),
}


@pytest.mark.parametrize("kind", BAD)
def test_other_files_are_refused(kind, folders, tmp_path):
    content, said = BAD[kind]
    save_file(content, tmp_path / "x.safetensors")
    message = fault(folders("sd1"), "--lora", str(tmp_path / "x.safetensors"))
    assert said in message and "x.safetensors" in message and "\n" not in message


@pytest.mark.parametrize("key, value", [("unet.lora_alpha", "8"), ("lora_alpha", None), ("lora_alpha", float("inf")),
                                        ("unet.alpha_pattern", {"to_k": [1]}), ("alpha_pattern", 8)])
def test_settings_of_another_type_are_refused(key, value, folders, tmp_path):
    content = {f"unet.{name}": value for name, value in pair("down_blocks.0.attentions.0.proj_in").items() if "alpha" not in name}
    save_file(content, tmp_path / "x.safetensors", {"lora_adapter_metadata": json.dumps({key: value})})
    said = fault(folders("sd1"), "--lora", str(tmp_path / "x.safetensors"))
    assert f"--lora {tmp_path / 'x.safetensors'}: has a lora_adapter_metadata whose {key} is {value!r}" in said


def test_bad_words_are_refused(folders, tmp_path):
    file = lora_file(tmp_path / "x.safetensors", "sd1")
    assert "the weight 'half' is no number" in fault(folders("sd1"), "--lora", f"{file}:half")
    assert "the weight is out of range (allowed: -100 to 100)" in fault(folders("sd1"), "--lora", f"{file}:1000")
    assert "changes nothing" in fault(folders("sd1"), "--lora", f"{file}:0")
    assert "No such file" in fault(folders("sd1"), "--lora", str(tmp_path / "gone.safetensors"))
    file.write_bytes(file.read_bytes()[:-1])
    assert "is no whole .safetensors file" in fault(folders("sd1"), "--lora", str(file))


def test_tensors_without_a_use_are_named(folders, tmp_path, capsys):
    save_file(UNET_PAIR | pair("lora_unet_nowhere") | {"emb_params": torch.ones(2)}, tmp_path / "x.safetensors")
    options = exporter.parse([str(folders("sd1")), "-o", "unused", "--lora", str(tmp_path / "x.safetensors")])
    lora = exporter.read_lora(options.lora[0], exporter.read(options))
    assert list(lora.pairs) == ["unet"]
    assert ("4 of its tensors change nothing in this model: emb_params, lora_unet_nowhere.alpha, "
            "lora_unet_nowhere.lora_down.weight, lora_unet_nowhere.lora_up.weight") in capsys.readouterr().err
