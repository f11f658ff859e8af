"""The recorded walks of tests/goldens against the formulas of the folder formulas/."""

import json
from pathlib import Path

import numpy as np
import pytest
from formulas import DIFFUSERS, K, Recording
from safetensors import safe_open

GOLDENS = Path(__file__).resolve().parents[1] / "goldens"
# Upstream's coefficients are float32. DEIS of order 3 cancels most: its class run in float64 agrees to 1e-12.
TOLERANCES = {"deis": 5e-4}


def recorded(name):
    with safe_open(GOLDENS / f"{name}.safetensors", "np") as file:
        for case in json.loads(file.metadata()["cases"]):
            keys = [key for key in file.keys() if key.startswith(case["name"] + "/")]
            yield case, {key.removeprefix(case["name"] + "/"): file.get_tensor(key).astype(np.float64) for key in keys}


def difference(case, tensors, formulas):
    """Largest relative distance of any state; nothing recorded may be left over."""
    recording = Recording(case, tensors)
    states = list(formulas[case["sampler"]](recording))
    assert len(states) == len(recording.samples) and np.isfinite(states).all(), case["name"]
    assert next(recording.timesteps, None) is None, case["name"]
    assert next(recording.noise, None) is None, case["name"]
    return max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(states, recording.samples))


FILES = {name: DIFFUSERS for name in ("sigma_samplers", "dpm_samplers", "timestep_samplers", "flow_samplers")} | {"k_samplers": K}


@pytest.mark.parametrize("name, formulas", FILES.items())
def test_formulas(name, formulas):
    worst = {}
    for case, tensors in recorded(name):
        found = difference(case, tensors, formulas), case["name"]
        worst[case["sampler"]] = max(worst.get(case["sampler"], found), found)
    for sampler, (error, case) in worst.items():
        print(f"{sampler:12} {error:.1e} {case}")
    for sampler, (error, case) in worst.items():
        assert error <= TOLERANCES.get(sampler, 1e-4), case
