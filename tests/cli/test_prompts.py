"""How prompts are read, as a person asks for it."""

import hashlib
import json
import shutil

import pytest
from conftest import MODELS, pixels
from PIL import Image

ENCODER = MODELS.parent / "goldens" / "prompt_encoder.pt"


@pytest.fixture
def model(darkroom):
    """The tiny model with the text encoder of the goldens: the mean of its own is 0, which A1111 divides by."""
    folder = darkroom.copy_model()
    shutil.copy(ENCODER, folder / "text.pt")
    manifest = json.loads((folder / "model.json").read_text())
    manifest["networks"]["text"] |= {"sha256": hashlib.sha256(ENCODER.read_bytes()).hexdigest(), "inputs": ["ids", "mask"]}
    (folder / "model.json").write_text(json.dumps(manifest))
    return folder


def texts(file):
    with Image.open(file) as image:
        return image.text


def test_brackets_are_text_unless_words_are_weighted(darkroom, model):
    words = {
        "plain": ["a cat"],
        "brackets": ["a (cat)"],
        "heavy": ["a (cat:1.5)", "--weighting", "a1111"],
        "escaped": ["a \\(cat\\)", "--weighting", "a1111"],
        "unweighted": ["a cat", "--weighting", "a1111"],
        "skipped": ["a cat", "--clip-skip", "1"],
        "compel": ["a cat++", "--weighting", "compel"],
        "lighter": ["a cat--", "--weighting", "compel"],
    }
    for name, line in words.items():
        result = darkroom.make("-m", model, *line, "-s", "1", "-o", f"{name}.png")
        assert result.code == 0, result.err
    pictures = {name: pixels(darkroom.folder / f"{name}.png") for name in words}
    assert pictures["escaped"] == pictures["brackets"]
    assert pictures["unweighted"] == pictures["plain"]
    assert len({pictures[name] for name in ("plain", "brackets", "heavy", "skipped", "compel", "lighter")}) == 6
    skipped = texts(darkroom.folder / "skipped.png")
    assert json.loads(skipped["darkroom"])["clip_skip"] == 1
    assert ", Clip skip: 2, " in skipped["parameters"]  # as A1111 counts
    record = json.loads(texts(darkroom.folder / "heavy.png")["darkroom"])
    assert (record["weighting"], record["long_prompt"], record["clip_skip"]) == ("a1111", "auto", 0)
    assert record["prompt"] == "a (cat:1.5)"


def test_a_long_prompt_is_lost_or_read_in_chunks(darkroom, model):
    prompt = ", ".join(["a cat"] * 40)
    result = darkroom.make("-m", model, prompt, "-s", "1", "-o", "short.png")
    assert "past the 75-token limit and are lost" in result.err
    for words in (["--long-prompt", "chunks"], ["--weighting", "a1111"]):
        result = darkroom.make("-m", model, prompt, "-s", "1", "-o", f"{words[1]}.png", *words)
        assert (result.code, "lost" in result.err) == (0, False)
        assert pixels(darkroom.folder / f"{words[1]}.png") != pixels(darkroom.folder / "short.png")
    result = darkroom.make("-m", model, prompt, "-s", "1", "-o", "x.png", "--weighting", "a1111", "--long-prompt", "truncate")
    assert "are lost" in result.err


def test_a_line_of_a_prompt_file_may_say_how_it_is_read(darkroom, model):
    lines = [
        {"prompt": "a (cat:1.3)", "weighting": "a1111"},
        {"prompt": "a [cat:dog:0.5]", "weighting": "a1111"},
        {"prompt": "a [cat:dog:0.5]"},
        {"prompt": "a cat", "negative_prompt": "[a|b]", "weighting": "a1111"},
    ]
    darkroom.write("p.jsonl", "\n".join(map(json.dumps, lines)))
    result = darkroom.make("-m", model, "-f", "p.jsonl", "-s", "1", "--json", "--batch-size", "4")
    assert result.code == 1
    assert sorted(o["line"] for o in result.objects if o.get("path")) == [1, 3]
    for line, text in ((2, "[cat:dog:0.5]"), (4, "[a|b]")):
        assert f"p.jsonl:{line}: '{text}' would change the prompt from step to step" in result.err


@pytest.mark.parametrize(
    "words, message",
    [
        (["--weighting", "a111"], "unknown weighting 'a111'; did you mean 'a1111'?"),
        (["--long-prompt", "chunk"], "did you mean 'chunks'?"),
        (["--weighting", "compel", "--prompt", "(a, b).blend(1, 1)"], "'.blend(...)' of compel is not known"),
        (["--clip-skip", "-1"], "--clip-skip: -1 is out of range"),
    ],
)
def test_refused_before_a_model_is_loaded(darkroom, words, message):
    prompt = [] if "--prompt" in words else ["a cat"]
    result = darkroom.make(*prompt, *words)
    assert result.code == 2
    assert message in result.err
    assert darkroom.files() == []


def test_layers_that_the_text_encoder_does_not_give_are_refused(darkroom):
    model = darkroom.copy_model()
    manifest = json.loads((model / "model.json").read_text())
    manifest["networks"]["text"]["outputs"] = ["hidden"]
    (model / "model.json").write_text(json.dumps(manifest))
    result = darkroom.make("a cat", "-m", model, "--clip-skip", "1")
    assert result.code == 2 and darkroom.files() == []
    assert "--clip-skip: this model's network 'text' gives the state after its last layer only" in result.err
