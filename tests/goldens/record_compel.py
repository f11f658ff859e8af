"""Records how compel reads prompts: tests/goldens/compel.json and compel.safetensors.

    PYTHONPATH=scripts .deps/python/bin/python tests/goldens/record_compel.py       (compel 2.5.1)

compel.json: `attention`, texts with their parts [text, weight]; `chunks`, texts with the framed ids of each chunk.
compel.safetensors: CASE/context (1, tokens, channels). Metadata: `versions`, and `cases`, a JSON list of {name, text,
chunks, clip_skip, mask}: with a mask, words of a weight below 1 are masked (compel's DownweightMode.MASK) and the text
encoder is that of record_prompts.py; else they are removed, and it is that of tests/models/tiny."""

import json
import random
from importlib.metadata import version
from pathlib import Path

import torch
from compel import Compel, DownweightMode, ReturnedEmbeddingsType
from compel.prompt_parser import PromptParser
from pipeline_models import tiny
from record_prompts import encoder_pipeline
from record_tokenizer import clip_tokenizer
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
RANDOM_TEXTS = 150  # of 5000 none was read otherwise
PARSER = PromptParser()

WRITTEN = [
    "", " ", "a cat", "a cat++", "a (big cat)1.3 here", '"a big cat"-- and more', "(a cat).attend(1.2)", "cat .attend( ++ ) dog",
    "((a)1.5 b)0.5", "(a (b)+ (c (d)-)1.2)++ e", "cat+, dog-", "big,cat+", ",,a", "cat,,dog", "C++", "well-known-", "a - b + c", "-cat+", "--",
    "++cat", "(cat)", "()", "()++", '""', '"" cat', "(cat", "cat)", "(cat++ dog", r"\(cat\)", r"\(cat\)+", r"cat\+ dog\.", r'"a \"b\" c"++',
    '"a', '"a b" c"', "(cat:1.3)", "(cat)1.", "(cat).5", "(cat) 1.5", "(cat)-0.5", "(a = b)1.5", "(a - b)1.5", "(a, b. c)1.5", "(it's 3.14)2",
    "a\nb\tc++", "café++ (日本 語)1.2 ☂-", '("a b"1.5, c)0.9', "x.y+ z", "(a)1.2(b)1.2", "a+ b+ c", "(...)1.1", "a1.5 (b)2x", "a(b)+c",
]


def attention(text):
    (prompt,) = PARSER.parse_conjunction(text).prompts or [None]
    return [[fragment.text, fragment.weight] for fragment in prompt.children] if prompt else [["", 1.0]]


def random_texts(count):
    generator = random.Random(8)
    words = ["a", "cat", " ", " ", ", ", "(", ")", "(", ")", '"', "+", "++", "-", "1.3", ".5", "2", ".", ",", "=", "\\(", '\\"', "\\", ".attend(1.2)", "é"]
    texts = set()
    while len(texts) < count:
        texts.add("".join(generator.choices(words, k=generator.randint(1, 16))))
    return sorted(text for text in texts if can_be_read(text))


def can_be_read(text):
    """compel knows no prompt without a word, such as "()"."""
    try:
        return bool(attention(text))
    except ValueError:
        return False


def compel_of(pipeline, **options):
    options = {"truncate_long_prompts": False} | options
    return Compel(tokenizer=pipeline.tokenizer, text_encoder=pipeline.text_encoder, **options)


def chunks(tokenizer, text):
    pipeline = tiny()
    pipeline.tokenizer = tokenizer
    provider = compel_of(pipeline).conditioning_provider
    fragments = attention(text)
    ids, _, _ = provider.get_token_ids_and_expand_weights([text for text, _ in fragments], [weight for _, weight in fragments], "cpu")
    return ids.reshape(-1, 77).tolist()


def long_texts():
    generator = random.Random(9)
    words = ["cat", "dog++", "house,", "red", "supercalifragilistic", "blue;", "(sky, hill)0.7", "and"]
    yield " ".join(generator.choices(words, k=60))
    yield " ".join(generator.choices([*words, "end."], k=60))
    yield from ("cat " * 76, "supercalifragilisticexpialidocious" * 9, "." * 80, "a. " + "cat " * 80)


CASES = {
    "heavier": "a slice of pizza++ on a teal background",
    "lighter": "a small- cat and (a dog)0.3",
    "nothing": "a (cat)0 on a mat",
    "long": "a red, (green)1.3 and blue cat, " * 12,
    "long-lighter": "a red, (green)0.4 and blue cat. " * 4 + "a (very long and winding road " + "and road " * 40 + ")0.6 home",
}


@torch.no_grad()
def main():
    texts = WRITTEN + random_texts(RANDOM_TEXTS)
    tokenizers = {"end": clip_tokenizer("<|endoftext|>"), "zero": clip_tokenizer("!")}
    tables = {"attention": [{"text": text, "parts": attention(text)} for text in texts],
              "chunks": [{"text": text, "pad": pad, "ids": chunks(tokenizer, text)} for text in long_texts()
                         for pad, tokenizer in tokenizers.items() if pad == "end" or len(text) < 150]}
    versions = {name: version(name) for name in ("compel", "torch", "transformers")}
    parts = [f'"versions":{json.dumps(versions)}']
    for title, table in tables.items():
        parts.append(f'"{title}":[\n' + ",\n".join(json.dumps(row, separators=(",", ":")) for row in table) + "\n]")
    (HERE / "compel.json").write_text("{" + ",\n".join(parts) + "}\n")

    tensors, cases = {}, []

    def add(name, compel, text, **reading):
        tensors[f"{name}/context"] = compel(text).contiguous()
        cases.append({"name": name, "text": text, "chunks": True, "clip_skip": 0, "mask": True} | reading)

    masked, unmasked = encoder_pipeline(), tiny()
    for name, text in CASES.items():
        add(name, compel_of(masked), text)
        if name in ("lighter", "nothing"):
            add(f"removed-{name}", compel_of(unmasked, downweight_mode=DownweightMode.REMOVE), text, mask=False)
    add("truncated", compel_of(masked, truncate_long_prompts=True), CASES["long"], chunks=False)
    skipped = compel_of(masked, returned_embeddings_type=ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NORMALIZED)
    add("skipped", skipped, CASES["lighter"], clip_skip=1)
    save_file(tensors, HERE / "compel.safetensors", {"versions": json.dumps(versions), "cases": json.dumps(cases)})


if __name__ == "__main__":
    main()
