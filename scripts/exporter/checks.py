"""Compares an exported file with the original, and measures the memory one run needs."""

import ctypes
import gc
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from .networks import Network

# Traced and original do the same float32 operations; only their order inside a kernel may differ.
FP32_TOLERANCE = 1e-5  # max|d| / max(1, max|x|)
# |d| / |x|, L2. bfloat16 keeps 8 bits and float16 11: a sound network stays within a few percent of what it computes at
# float32 and a few per mille, a baked float32 constant fails or is far off.
HALF_TOLERANCES = {"bf16": 0.1, "fp16": 0.02}
SMALL_CASES = 3  # that do for what half precision can do wrong: a CPU is slow at it
# The operations that take the time. At float16 a CPU does a convolution a hundred times slower than at float32.
PRODUCTS = {torch.ops.aten._convolution.default, torch.ops.aten.convolution.default, torch.ops.aten.addmm.default,
            torch.ops.aten.mm.default, torch.ops.aten.bmm.default}
PICTURES = [(72, 64), (65, 67)]  # latents of common size
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Check:
    """What the original computes from inputs at batches 1 to 3 and at sizes of latents that the U-Net's down-factor does
    and does not divide."""

    def __init__(self, network: Network, module: nn.Module, factor: int):
        self.network = network
        self.names = network.parameter_names(module)
        cases = [(1, 2 * factor, 3 * factor), (2, 2 * factor + 1, 3 * factor - 1), (3, 3 * factor + 1, 2 * factor)]
        if network.name == "unet":
            cases += [(1, *size) for size in PICTURES]
        self.inputs = [network.example(*case) for case in cases]
        with torch.no_grad():
            self.wanted = [network.original(module, *inputs) for inputs in self.inputs]

    def run(self, file: Path, halves: Iterable[str] = HALVES) -> list[str]:
        """The precisions that the network in `file` may run at: float32, and of `halves` those at which it does not
        overflow. Throws ValueError where parameter names or outputs differ from the original's, and where it would run on
        one device only."""
        exported = load(file, torch.float32)
        names = [name for name, _ in exported.named_parameters()]
        if names != self.names:
            odd = sorted(set(names) ^ set(self.names))
            raise ValueError(f"{file.name}: parameter names differ from the original's: "
                             f"{', '.join(odd) or 'their order'}")
        if kept := kept_devices(exported.inlined_graph):
            raise ValueError(f"{file.name}: would run on one device only: {', '.join(kept)}")
        outputs = [call(self.network, exported, inputs) for inputs in self.inputs]
        self.compare(f"{file.name} at fp32", outputs, FP32_TOLERANCE, largest_difference)
        passed = ["fp32"]
        for precision in halves:
            exported = outputs = None  # before the next is loaded
            release_memory()
            exported = load(file, HALVES[precision])
            outputs = [call(self.network, exported, inputs) for inputs in self.inputs[:SMALL_CASES]]
            if precision == "fp16" and not all(is_finite(case) for case in outputs):
                continue
            self.compare(f"{file.name} at {precision}", outputs, HALF_TOLERANCES[precision], relative_difference)
            passed.append(precision)
        return passed

    def compare(self, what: str, cases: list[tuple[Tensor, ...]], tolerance: float, measure) -> None:
        """`cases` are the outputs of the first ones."""
        for outputs, wanted in zip(cases, self.wanted, strict=False):
            if len(outputs) != len(wanted):
                raise ValueError(f"{what}: {len(outputs)} outputs instead of {len(wanted)}")
            for role, actual, expected in zip(self.network.outputs, outputs, wanted, strict=True):
                if actual.shape != expected.shape:
                    raise ValueError(f"{what}: {role}: shape {list(actual.shape)} instead of {list(expected.shape)}")
                difference = measure(actual.float(), expected)
                if not difference <= tolerance:
                    raise ValueError(f"{what}: {role}, shape {list(expected.shape)}: differs by {difference:.2g} from "
                                     f"the original (allowed: {tolerance})")


class RoundedProducts(TorchDispatchMode):
    """Computes the float16 products at float32 and rounds them to float16, as a GPU does."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        operands = [x for x in args if isinstance(x, Tensor)]
        if function not in PRODUCTS or any(x.dtype != torch.float16 for x in operands):  # mixed ones are to fail
            return function(*args, **kwargs)
        args, kwargs = tree_map_only(Tensor, Tensor.float, (args, kwargs))
        return function(*args, **kwargs).half()


def release_memory() -> None:
    """Of what is not used any more: C's library keeps freed tensors, and references in circles do so for a while."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def load(file: Path, dtype: torch.dtype) -> torch.jit.ScriptModule:
    return torch.jit.load(str(file)).to(dtype)


def call(network: Network, exported: torch.jit.ScriptModule, inputs: tuple) -> tuple[Tensor, ...]:
    """As darkroom does: at the network's precision, except timesteps, and without the optimising executor, which would
    specialise the network for every shape it sees."""
    dtype = next(exported.parameters()).dtype
    given = [x if role == "timestep" or not x.is_floating_point() else x.to(dtype)
             for role, x in zip(network.inputs, inputs, strict=True)]
    with torch.no_grad(), torch.jit.optimized_execution(False), RoundedProducts():
        output = exported(*given)
    return output if isinstance(output, tuple) else (output,)


def kept_devices(graph: torch.Graph | torch.Block) -> list[str]:
    """What in the graph stays where it was traced when the parameters move: operations that name a device, and tensors. A
    number may stay: every device takes it."""
    kept = []
    for node in graph.nodes():
        for block in node.blocks():
            kept += kept_devices(block)
        if node.kind() == "prim::Constant" and isinstance(node.output().type(), torch.DeviceObjType):
            kept += [use.user.kind() for use in node.output().uses()]
        if node.kind() == "prim::Constant" and node.hasAttribute("value") and node.kindOf("value") == "t":
            kept += [f"a tensor {list(tensor.shape)}" for tensor in [node.t("value")] if tensor.ndim > 0]
    return sorted(set(kept))


def is_finite(outputs: tuple[Tensor, ...]) -> bool:
    return all(output.isfinite().all() for output in outputs)


def largest_difference(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).abs().max() / expected.abs().max().clamp(min=1)).item()


def relative_difference(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).norm() / expected.norm()).item()


def peak_bytes(network: Network, file: Path, inputs: tuple) -> int:
    """The most memory that one float32 run holds beyond weights and inputs: the running sum of what libtorch's CPU
    allocator reports to the profiler."""
    exported = load(file, torch.float32)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as run:
        call(network, exported, inputs)
    held = peak = 0
    for event in run.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak
