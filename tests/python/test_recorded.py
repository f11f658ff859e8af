"""Runs the recorders of tests/goldens again: what is committed must be what the pinned packages make of them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
HALF_PRECISION_DRAWS = {"noise/fp16": 2e-3, "noise/bf16": 2e-2}  # one rounding step of numbers up to 4


@pytest.fixture(scope="module")
def again(tmp_path_factory) -> Path:
    """A tests/ folder with nothing but the recorders, which write beside themselves."""
    tests = tmp_path_factory.mktemp("again") / "tests"
    shutil.copytree(TESTS / "goldens", tests / "goldens", ignore=lambda _, names: [n for n in names if not n.endswith(".py")])
    for name in ("models", "scripts"):
        (tests.parent / name).symlink_to(ROOT / name)
    return tests


def record(script: str, tests: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts"), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, tests / "goldens" / script], env=environment, check=True)


def assert_same_tensors(actual: Path, expected: Path) -> None:
    with safe_open(actual, "pt") as new, safe_open(expected, "pt") as old:
        assert set(new.keys()) == set(old.keys())
        assert without_versions(new.metadata()) == without_versions(old.metadata())
        for name in old.keys():
            a, b = new.get_tensor(name).double(), old.get_tensor(name).double()
            # Machines differ in the last bits of a convolution, and so in the rounding of a few pixels.
            tolerance = 1 if name.endswith("/image") else 1e-5 * max(1, b.abs().max().item())
            tolerance = HALF_PRECISION_DRAWS.get(name, tolerance)
            assert a.shape == b.shape and (a - b).abs().max() <= tolerance, name


def without_versions(metadata: dict) -> dict:
    return {key: json.loads(value) for key, value in metadata.items() if key != "versions"}


def test_samplers(again):
    record("record_samplers.py", again)
    assert_same_tensors(again / "goldens/samplers.safetensors", TESTS / "goldens/samplers.safetensors")


@pytest.mark.parametrize("name", ["prompts", "compel"])
def test_prompts(again, name):
    record(f"record_{name}.py", again)
    assert_same_tensors(again / f"goldens/{name}.safetensors", TESTS / f"goldens/{name}.safetensors")
    new, old = (json.loads((tests / f"goldens/{name}.json").read_text()) for tests in (again, TESTS))
    assert {key: new[key] for key in new if key != "versions"} == {key: old[key] for key in old if key != "versions"}


@pytest.mark.parametrize("family", ["sigma", "dpm", "timestep", "flow"])
def test_sampler_families(again, family):
    record(f"record_{family}_samplers.py", again)
    assert_same_tensors(again / f"goldens/{family}_samplers.safetensors", TESTS / f"goldens/{family}_samplers.safetensors")


def test_k_samplers(again):
    record("record_k_samplers.py", again)
    assert_same_tensors(again / "goldens/k_samplers.safetensors", TESTS / "goldens/k_samplers.safetensors")


def test_guidance(again):
    record("record_guidance.py", again)
    assert_same_tensors(again / "goldens/guidance.safetensors", TESTS / "goldens/guidance.safetensors")


def test_pipelines(again):
    record("pipeline_record.py", again)
    for name in ("pipeline_runs.safetensors", "pipeline_networks.safetensors"):
        assert_same_tensors(again / "goldens" / name, TESTS / "goldens" / name)


def test_tokenizers(again):
    record("record_tokenizer.py", again)
    for old in sorted((TESTS / "goldens").glob("tokenizer_*")):
        assert (again / "goldens" / old.name).read_bytes() == old.read_bytes(), old.name


def test_exported_models(again):
    record("pipeline_models.py", again)
    for model in ("tiny", "tiny-v", "nan"):
        old, new = (json.loads((tests / "models" / model / "model.json").read_text()) for tests in (TESTS, again))
        for network in old["networks"]:
            file = old["networks"][network]["file"]
            a, b = (torch.jit.load(tests / "models" / model / file).state_dict() for tests in (again, TESTS))
            assert a.keys() == b.keys()
            assert all(torch.equal(a[name], b[name]) for name in a), f"{model}/{file}"
        for manifest in (old, new):
            for network in manifest["networks"].values():
                # Of the traced code and of the memory measured, which a machine may change.
                del network["sha256"], network["activation_bytes_per_pixel"]
        assert new == old, model
