"""Compares an exported file with the original, and measures the memory one run needs."""

from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from .networks import Network

# Traced and original do the same float32 operations; only their order inside a kernel may differ.
FP32_TOLERANCE = 1e-5  # max|d| / max(1, max|x|)
# bfloat16 keeps 8 bits: a sound network stays within a few percent, a baked float32 constant fails or is far off.
BF16_TOLERANCE = 0.1  # |d| / |x|, L2


def check(network: Network, factor: int, file: Path) -> None:
    """Throws ValueError where the file's names or outputs differ from the original's, at batches 1 to 3 and at sizes
    that the U-Net's down-factor `factor` does and does not divide."""
    exported = torch.jit.load(str(file)).to(torch.float32)
    names = [name for name, _ in exported.named_parameters()]
    if names != network.names:
        odd = sorted(set(names) ^ set(network.names))
        raise ValueError(f"{file.name}: parameter names differ from the original's: {', '.join(odd) or 'their order'}")

    sizes = [(2 * factor, 3 * factor), (2 * factor + 1, 3 * factor - 1), (3 * factor + 1, 2 * factor)]
    cases = [network.example(batch, *size) for batch, size in enumerate(sizes, start=1)]
    with torch.no_grad():
        wanted = [network.original(*inputs) for inputs in cases]
        for inputs, expected in zip(cases, wanted, strict=True):
            compare(f"{file.name} at fp32", exported(*inputs), expected, FP32_TOLERANCE, largest_difference)
        exported.to(torch.bfloat16)
        for inputs, expected in zip(cases, wanted, strict=True):
            actual = exported(*at_precision(network, inputs, torch.bfloat16))
            compare(f"{file.name} at bf16", actual.float(), expected, BF16_TOLERANCE, relative_difference)


def at_precision(network: Network, inputs: tuple, precision: torch.dtype) -> list[Tensor]:
    keep = [role == "timestep" or not x.is_floating_point() for role, x in zip(network.inputs, inputs, strict=True)]
    return [x if kept else x.to(precision) for x, kept in zip(inputs, keep, strict=True)]


def compare(what: str, actual: Tensor, expected: Tensor, tolerance: float, measure) -> None:
    if actual.shape != expected.shape:
        raise ValueError(f"{what}: shape {list(actual.shape)} instead of {list(expected.shape)}")
    difference = measure(actual, expected)
    if not difference <= tolerance:
        raise ValueError(f"{what}, shape {list(expected.shape)}: differs by {difference:.2g} from the original "
                         f"(allowed: {tolerance})")


def largest_difference(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).abs().max() / expected.abs().max().clamp(min=1)).item()


def relative_difference(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).norm() / expected.norm()).item()


def peak_bytes(file: Path, inputs: tuple) -> int:
    """The most memory that one float32 run holds beyond weights and inputs: the running sum of what libtorch's CPU
    allocator reports to the profiler."""
    exported = torch.jit.load(str(file)).to(torch.float32)
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as run:
        exported(*inputs)
    held = peak = 0
    for event in run.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak
