"""The tensors of one .safetensors or .ckpt file. Nothing in the file is ever run."""

import pickletools
import re
import zipfile
from _compat_pickle import IMPORT_MAPPING
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

# A pickle that names one of these modules, or of these built-in functions, means to run something when it is read.
HARMFUL = {"code", "ctypes", "importlib", "multiprocessing", "nt", "os", "posix", "pty", "runpy", "shutil", "socket",
           "subprocess", "sys", "webbrowser"}
HARMFUL_BUILTINS = {"__import__", "compile", "eval", "exec", "execfile", "getattr", "input", "open"}


class Checkpoint:
    """`shapes` are known at once, tensors are read when asked for."""

    def __init__(self, file: Path):
        """Throws ValueError where the file is neither, or damaged."""
        self.metadata: dict[str, str] = {}
        if is_pickle(file):
            self.tensors = tensors_in(read_objects(file))
            self.shapes = {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}
        else:
            refuse_other_files(start_of(file))
            self.tensors = None
            self.open_safetensors(file)
        if not self.shapes:
            raise ValueError("holds no tensors")

    def open_safetensors(self, file: Path) -> None:
        try:  # the library checks that the header and the offsets in it fit the file
            self.file = safe_open(file, "pt")
            self.metadata = self.file.metadata() or {}
            self.shapes = {name: tuple(self.file.get_slice(name).get_shape()) for name in self.file.keys()}
        except SafetensorError as error:
            raise ValueError(f"is no whole .safetensors file: {error}") from None

    def __getitem__(self, name: str) -> Tensor:
        return self.file.get_tensor(name) if self.tensors is None else self.tensors[name]


def start_of(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(200)


def is_pickle(file: Path) -> bool:
    """A .safetensors file begins with the length of the JSON that follows, which may look like a pickle's mark."""
    start = start_of(file)
    return start[8:9] != b"{" and (zipfile.is_zipfile(file) or start[:1] == b"\x80")


def refuse_other_files(start: bytes) -> None:
    kinds = {b"GGUF": "a GGUF file", b"version https://git-lfs": "a Git LFS pointer, not the file it stands for",
             b"<": "a web page, not the file it was meant to be", b"PK": "a damaged .ckpt or .zip file"}
    for mark, kind in kinds.items():
        if start.startswith(mark):
            raise ValueError(f"is {kind}")


class Placeholder:
    """Stands for an object of whatever class a .ckpt names besides tensors, which is neither imported nor made. It has
    what the object would have been given as its state."""

    def __new__(cls, *_, **__):
        return super().__new__(cls)

    def __init__(self, *_, **__):
        pass

    def __setstate__(self, state):
        self.state = state


def read_objects(file: Path):
    """What a pickle holds: tensors, what they lie in, and placeholders."""
    try:
        return unpickle(file)
    except ValueError:
        raise
    except Exception as error:  # of a damaged pickle, anything
        lines = str(error).removeprefix("Weights only load failed.").splitlines() or [repr(error)]
        reason = re.search(r"WeightsUnpickler error:\s*(.*)", str(error))
        raise ValueError(f"is no .ckpt file of tensors alone: {reason[1] if reason else lines[0].strip()}") from None


def unpickle(file: Path):
    if zipfile.is_zipfile(file):
        names = get_unsafe_globals_in_checkpoint(str(file))
    else:  # written by a PyTorch before 1.6
        names = [name for name in legacy_globals(file) if not name.startswith(("torch.", "collections."))]
    for name in names:
        module, _, function = name.rpartition(".")
        module = IMPORT_MAPPING.get(module, module)  # from Python 2's names, which PyTorch writes
        if module.split(".")[0] in HARMFUL or module == "builtins" and function in HARMFUL_BUILTINS:
            raise ValueError(f"holds code: reading it as a pickle would call {module}.{function}; nothing of it was run")
    inert = [(type(name.rpartition(".")[2], (Placeholder,), {}), name) for name in names]
    with safe_globals(inert):
        return torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))


def legacy_globals(file: Path) -> set[str]:
    """Of its five pickles, the fourth of which is the content."""
    with file.open("rb") as stream:
        return {argument.replace(" ", ".") for _ in range(5)
                for opcode, argument, _ in pickletools.genops(stream) if opcode.name == "GLOBAL"}


def tensors_in(content) -> dict[str, Tensor]:
    while isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        return {}
    return {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
