"""Records how prompts are read: tests/goldens/prompts.json and prompts.safetensors.

    PYTHONPATH=scripts .deps/python/bin/python tests/goldens/record_prompts.py

A1111's rules are transcribed here on their own, in another form than the program's: attention as factors over ranges of
a list of pieces, chunks as slices of one list of tokens. The text encoder is that of
tests/models/tiny with another final layer norm.

prompts.json: `attention`, texts with their parts [text, weight]; `chunks`, texts with the framed ids and the weights of
each chunk (`pad`: end as in Stable Diffusion 1, zero as in 2).
prompts.safetensors: CASE/context (1, tokens, channels). Metadata: `versions`, and `cases`, a JSON list of {name, text,
weighting, clip_skip}.
prompt_encoder.pt: the text encoder as TorchScript, with a mask of the tokens that may be attended to."""

import json
import random
import re
from pathlib import Path

import diffusers
import numpy
import torch
import transformers
from pipeline_models import tiny
from record_tokenizer import clip_tokenizer, content
from safetensors.torch import save_file

from exporter.trace import repack

HERE = Path(__file__).resolve().parent
WINDOW, REACH = 75, 20

# Attention


PIECE = re.compile(r"\\[()\[\]\\]|:\s*(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+))\s*\)|[\\()\[\]:]|[^\\()\[\]:]+")


def attention(text):
    """[[text, weight], ...]. A bracket is a range of pieces that ends where it closes; a piece's weight is the product
    of its ranges' factors, in the order in which they close."""
    pieces, factors, begins = [], [], {"(": [], "[": []}

    def close(bracket, factor):
        factors.append((begins[bracket].pop(), len(pieces), factor))

    for match in PIECE.finditer(text):
        piece, weight = match.group(), match["weight"]
        if piece[0] == "\\":
            pieces.append(piece[1:])
        elif piece in begins:
            begins[piece].append(len(pieces))
        elif weight and begins["("]:
            close("(", float(weight))
        elif piece == ")" and begins["("]:
            close("(", 1.1)
        elif piece == "]" and begins["["]:
            close("[", 1 / 1.1)
        else:
            parts = re.split(r"\s*\bBREAK\b\s*", piece)
            for part in parts[:-1]:
                pieces += [part, None]
            pieces.append(parts[-1])
    for bracket, factor in (("(", 1.1), ("[", 1 / 1.1)):
        while begins[bracket]:
            close(bracket, factor)

    joined = []
    for at, piece in enumerate(pieces):
        weight = -1.0 if piece is None else 1.0
        for begin, end, factor in factors:
            if begin <= at < end:
                weight *= factor
        text = "BREAK" if piece is None else piece
        if joined and joined[-1][1] == weight:
            joined[-1][0] += text
        else:
            joined.append([text, weight])
    return joined or [["", 1.0]]


DOCUMENTED = [
    "normal text", "an (important) word", "(unbalanced", r"\(literal\]", "(unnecessary)(parens)",
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
]
WRITTEN = [
    "", "()", "(", ")", "[", "]", ":", "\\", "\\\\", "(:1.2)", "(cat:-.5) dog", "(cat: 1.2 )", "(cat:1.)", "(cat:+2)", "cat:1.2)",
    "(a (b:1.2) c:0.8)", "[[a] b] c", "(a [b) c] d", "((a:1.1):1.1)", r"a \(b:1.2\) c", r"(a\)b)", r"a\b", r"a\\(b)",
    "a BREAK b", "BREAK", "a BREAK", "a  BREAK\n\nBREAK b", "(a BREAK b)", "(a BREAK b:1)", "aBREAK", "BREAK_", "日本，BREAK (猫:1.4)",
    "(café:1.3), ☂ (e\u0301)", "(a:1.1)(b:1.1)[c]", "a (b:1.3", "a [b", "(((((a)))))", "(a:0)", "(BREAK:-1)",
]


def random_texts(count):
    generator = random.Random(5)
    words = ["a", "cat", " ", ", ", "(", ")", "[", "]", "\\", ":1.3)", ":0.5)", ": 2 )", ":", ":-1)", " BREAK ", "BREAK", "1.2", "é"]
    texts = set()
    while len(texts) < count:
        text = "".join(generator.choices(words, k=generator.randint(1, 14)))
        if not re.search(r":\s*[.\d]+\s*\]", text):  # may be A1111's prompt editing, which is refused
            texts.add(text)
    return sorted(texts)


# Chunks


def weighted_tokens(tokenizer, text):
    """Lists of (id, weight) between the breaks."""
    runs = [[]]
    for part, weight in attention(text):
        if (part, weight) == ("BREAK", -1.0):
            runs.append([])
        else:
            runs[-1] += [(token, weight) for token in content(tokenizer, part)]
    return runs


def a1111_chunks(tokenizer, text):
    """A chunk ends after 75 tokens or, if the next is no comma, behind a comma that is one of its last 20; at a break,
    and at the end, even if it is empty, but for an empty last one."""
    (comma,) = content(tokenizer, ",")
    runs = weighted_tokens(tokenizer, text)
    slices = []
    for index, run in enumerate(runs):
        start = 0
        while len(run) - start > WINDOW:
            end = start + WINDOW
            if run[end][0] != comma:
                commas = [at for at in range(end - REACH, end) if run[at][0] == comma]
                end = commas[-1] + 1 if commas else end
            slices.append(run[start:end])
            start = end
        if run[start:] or index < len(runs) - 1:
            slices.append(run[start:])
    return [framed(tokenizer, chunk) for chunk in slices or [[]]]


def framed(tokenizer, chunk):
    ids = [tokenizer.bos_token_id, *(token for token, _ in chunk), tokenizer.eos_token_id]
    weights = [1.0, *(weight for _, weight in chunk), 1.0]
    missing = WINDOW + 2 - len(ids)
    return ids + [tokenizer.pad_token_id] * missing, weights + [1.0] * missing


def long_texts():
    generator = random.Random(6)
    words = ["cat", "dog", "masterpiece", "(house:1.3)", "[on]", "supercalifragilistic", "red,", "blue,", "(sky, hill:0.7)", "and", ",", "BREAK"]
    for count in (3, 20, 40, 40, 60, 60, 80, 120):
        yield " ".join(generator.choices(words, k=count))
    yield from ("cat " * count for count in (75, 76, 150, 151))
    for before in (54, 55, 56, 74, 75, 76):  # where the comma is the 75th token from the end of the window, and about there
        yield "cat " * before + ", " + "dog " * 40
    yield from ("cat BREAK dog", "BREAK cat", "cat BREAK", "BREAK BREAK", "cat " * 75 + "BREAK dog", "cat " * 80 + ", BREAK dog")


# The text encoder's output


class Encoder(torch.nn.Module):
    """ids, mask (1, tokens) -> hidden, layers: as the exporter's TextEncoder, of one size."""

    def __init__(self, text):
        super().__init__()
        self.text = text

    def forward(self, ids, mask):
        states = self.text(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        layers = [self.text.final_layer_norm(state) for state in states[:0:-1]]
        return layers[0], torch.stack(layers, dim=1)


def encoder_pipeline():
    """The tiny pipeline whose text encoder the goldens are of."""
    pipeline = tiny()
    # Untrained, a layer norm's output has the mean 0, which A1111 divides by.
    generator = torch.Generator().manual_seed(7)
    norm = pipeline.text_encoder.final_layer_norm
    norm.weight.data += 0.3 * torch.randn(norm.weight.shape, generator=generator)
    norm.bias.data += 0.3 + 0.1 * torch.randn(norm.bias.shape, generator=generator)
    type(pipeline.text_encoder).text_model = property(lambda self: self)  # diffusers 0.42 looks for it, transformers 5 has it no more
    return pipeline


def a1111_context(encoder, tokenizer, text):
    """Emphasis "Original": rows times weights, then the mean restored, chunk by chunk; float64 but for the encoder."""
    rows = []
    for ids, weights in a1111_chunks(tokenizer, text):
        before = encoder(torch.tensor([ids])).last_hidden_state.numpy().astype(numpy.float64)
        after = before * numpy.array(weights)[None, :, None]
        rows.append(after * before.mean() / after.mean())
    return torch.from_numpy(numpy.concatenate(rows, axis=1)).float()


CASES = {
    "plain": "a slice of pizza on a teal background",
    "empty": "",
    "heavier": "a (red:1.5) cat",
    "lighter": "a [small] cat and (a dog:0.3)",
    "nothing": "a (cat:0) on a mat",
    "against": "a cat (on a mat:-0.7)",
    "long": "a red, (green:1.3) and blue cat, " * 12,
    "break": "a (cat:1.2) BREAK a [dog]",
}


@torch.no_grad()
def main():
    tokenizers = {"end": clip_tokenizer("<|endoftext|>"), "zero": clip_tokenizer("!")}
    texts = DOCUMENTED + WRITTEN + random_texts(300)
    rows = [{"text": text, "pad": pad, "ids": [ids for ids, _ in chunks], "weights": [weights for _, weights in chunks]}
            for text in long_texts() for pad, tokenizer in tokenizers.items()
            if pad == "end" or len(text) < 150 for chunks in [a1111_chunks(tokenizer, text)]]
    versions = {module.__name__: module.__version__ for module in (diffusers, numpy, torch, transformers)}
    tables = {"attention": [{"text": text, "parts": attention(text)} for text in texts], "chunks": rows}
    parts = [f'"versions":{json.dumps(versions)}']
    for title, table in tables.items():
        parts.append(f'"{title}":[\n' + ",\n".join(json.dumps(row, separators=(",", ":")) for row in table) + "\n]")
    (HERE / "prompts.json").write_text("{" + ",\n".join(parts) + "}\n")

    pipeline = encoder_pipeline()
    encoder, tokenizer = pipeline.text_encoder, pipeline.tokenizer
    example = torch.zeros(1, WINDOW + 2, dtype=torch.long)
    torch.jit.trace(Encoder(encoder), (example, example == 0)).save(str(HERE / "prompt_encoder.pt"))
    repack(HERE / "prompt_encoder.pt")

    tensors, cases = {}, []

    def add(name, context, text, **reading):
        tensors[f"{name}/context"] = context.contiguous()
        cases.append({"name": name, "text": text, "weighting": "none", "clip_skip": 0} | reading)

    for name, text in CASES.items():
        add(f"a1111-{name}", a1111_context(encoder, tokenizer, text), text, weighting="a1111")
    for skip in (0, 1):
        text = CASES["plain"]
        context, _ = pipeline.encode_prompt(text, "cpu", 1, False, clip_skip=skip or None)
        add(f"clip-skip-{skip}", context, text, clip_skip=skip)
    save_file(tensors, HERE / "prompts.safetensors", {"versions": json.dumps(versions), "cases": json.dumps(cases)})


if __name__ == "__main__":
    main()
