"""CLIP's vocabulary as darkroom reads it: merge rules, from which every id follows."""

import json
from pathlib import Path

from transformers import CLIPTokenizer

from .manifest import sha256

MERGES = Path(__file__).resolve().parents[2] / "models/emoji/merges.txt"


def write_merges(tokenizer, file: Path) -> None:
    """Throws ValueError where the tokenizer's ids are not those that follow from its merge rules."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    merges = [tuple(rule.split(" ")) if isinstance(rule, str) else tuple(rule) for rule in model["merges"]]
    if vocabulary(merges, tokenizer.bos_token, tokenizer.eos_token) != tokenizer.get_vocab():
        raise ValueError("tokenizer: its ids are not those that follow from its merge rules, as CLIP's do")
    file.write_text("".join(" ".join(pair) + "\n" for pair in [("#version:", "0.2"), *merges]), encoding="utf-8")


def clip_tokenizer(size: int, pad: str) -> CLIPTokenizer:
    """CLIP's, whose vocabulary has `size` ids: all of them, or the first merge rules of a reduced one."""
    lines = MERGES.read_text(encoding="utf-8").splitlines()[1:]
    count = size - len(vocabulary([]))
    if not 0 <= count <= len(lines):
        raise ValueError(f"the text encoder knows {size} tokens; CLIP's vocabulary has {len(vocabulary(lines))}")
    merges = [tuple(line.split(" ")) for line in lines[:count]]
    return CLIPTokenizer(vocab=vocabulary(merges), merges=merges, pad_token=pad, model_max_length=77)


def vocabulary(merges: list[tuple[str, str]], begin: str = "<|startoftext|>", end: str = "<|endoftext|>") -> dict:
    """Token -> id, in CLIP's order: byte symbols, the same at a word's end, merged pairs, the two special tokens."""
    symbols = byte_symbols()
    tokens = symbols + [symbol + "</w>" for symbol in symbols] + ["".join(rule) for rule in merges] + [begin, end]
    return {token: index for index, token in enumerate(tokens)}


def byte_symbols() -> list[str]:
    """The 256 bytes in the order of CLIP's vocabulary: printable ones as themselves, the others from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(256 - len(printable))]


def tokenizer_entry(tokenizer, positions: int, file: Path) -> dict:
    """Of model.json. `positions` are the text encoder's; a tokenizer that says no length has one of 1e30."""
    if tokenizer.pad_token_id not in (0, tokenizer.eos_token_id):
        raise ValueError(f"tokenizer: pad_token {tokenizer.pad_token!r} is neither the end token nor id 0")
    return {"kind": "clip-bpe", "file": file.name, "sha256": sha256(file),
            "pad": "zero" if tokenizer.pad_token_id == 0 else "end", "length": min(tokenizer.model_max_length, positions)}
