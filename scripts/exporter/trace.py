"""Turns a network into a TorchScript file that holds no size, batch, device or dtype."""

import ctypes
import os
import tempfile
import warnings
import zipfile
import zlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .networks import Network

KEEP_SIZE, PUNCH_HOLE = 1, 2  # of fallocate(2)
BLOCK = 1 << 24  # bytes of a record at a time
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class WithoutEmptyCasts(TorchFunctionMode):
    """Keeps casts that change nothing out of a trace, which would record x.to(other.dtype) as a cast to float32."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is Tensor.to:
            device, dtype, _, memory_format = torch._C._nn._parse_to(*args[1:], **kwargs)
            x = args[0]
            if memory_format is None and dtype in (None, x.dtype) and device in (None, x.device):
                return x
        if function is Tensor.float and args[0].dtype == torch.float32:
            return args[0]
        return function(*args, **kwargs)


def save_traced(network: Network, module: nn.Module, factor: int, precision: str, file: Path) -> None:
    """Traces the component `module` at float32 and stores the weights at `precision`, to which they are rounded already.
    `factor` is the U-Net's down-factor: traced at a size it divides, a U-Net would run at such sizes only, so one side
    here is odd."""
    example = network.example(2, 2 * factor + 1, 2 * factor + 2)
    with warnings.catch_warnings(), torch.no_grad(), WithoutEmptyCasts():
        warnings.simplefilter("ignore")  # shape comparisons in the originals: checks.py runs the sizes that matter
        traced = torch.jit.trace(network.adapt(module), example, check_trace=False)
    traced.to(PRECISIONS[precision])
    reserve(file, sum(tensor.nbytes for tensor in traced.state_dict().values()))
    traced.save(str(file))
    repack(file)


def reserve(file: Path, size: int) -> None:
    """Throws OSError where there is no room for a file of that size. libtorch's writer would end the program."""
    with tempfile.TemporaryFile(dir=file.parent) as room:
        os.posix_fallocate(room.fileno(), 0, size)


def repack(file: Path) -> None:
    """libtorch stores where each operation came from: larger than the code itself, with this machine's paths. With
    that, and the identity computed over it, gone, the same weights give the same file. Weights that are mostly zeros,
    such as embeddings of words never trained on, are compressed; libtorch reads both kinds of record. What has been copied
    is given back to the disk at once, so that both files need the room of one."""
    lean = file.with_suffix(".lean")
    with file.open("r+b") as stream, zipfile.ZipFile(stream) as old, zipfile.ZipFile(lean, "w") as new:
        for record in old.infolist():
            give_back(stream.fileno(), record.header_offset)
            if not record.filename.endswith((".debug_pkl", "/.data/serialization_id")):
                entry = zipfile.ZipInfo(record.filename)
                entry.compress_type = record.compress_type
                with old.open(record) as source:
                    block = source.read(BLOCK)
                    if record.file_size > 1 << 20 and len(zlib.compress(block, 1)) < len(block) / 2:
                        entry.compress_type = zipfile.ZIP_DEFLATED
                    with new.open(entry, "w", force_zip64=True) as target:
                        while block:
                            target.write(block)
                            block = source.read(BLOCK)
    lean.replace(file)


def give_back(file: int, end: int) -> None:
    """The disk's blocks before `end`. A file system that cannot do so keeps them."""
    if end > 0:
        ctypes.CDLL(None).fallocate(file, KEEP_SIZE | PUNCH_HOLE, ctypes.c_long(0), ctypes.c_long(end))
