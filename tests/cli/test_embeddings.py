"""--embedding, on textual inversions made here for the tiny model."""

import hashlib
import json
import os

import numpy
import pytest
from conftest import pixels
from weights import check_reads, lora, only_the_second_line_works, record, safetensors, vectors


@pytest.fixture
def style(darkroom):
    return darkroom.write("style.safetensors", safetensors({"emb_params": vectors()}))


def picture(darkroom, prompt, *words, name="x.png"):
    result = darkroom.make(prompt, "-s", "1", "-o", name, *words)
    assert result.code == 0, result.err
    return pixels(darkroom.folder / name)


def test_a_word_stands_for_the_vectors(darkroom, style):
    words = ("--embedding", "style.safetensors")
    plain, changed = picture(darkroom, "a style", name="plain.png"), picture(darkroom, "a style", *words, name="changed.png")
    assert plain != changed
    assert picture(darkroom, "a <Style>", *words, name="brackets.png") == changed
    assert picture(darkroom, "a sks", "--embedding", "sks=style.safetensors", name="named.png") == changed
    assert picture(darkroom, "a styles", *words, name="b.png") == picture(darkroom, "a styles", name="c.png")
    negative = picture(darkroom, "a boat", "-n", "style", *words, name="d.png")
    assert negative not in (picture(darkroom, "a boat", "-n", "style", name="e.png"), picture(darkroom, "a boat", name="f.png"))


def test_the_prompt_is_read_first(darkroom):
    """Its syntax may stand in the word: escaped, or as a weight."""
    darkroom.write("style (v2).safetensors", safetensors({"emb_params": vectors()}))
    for weighting, prompt, named in (("compel", "a style \\(v2\\) cat", True), ("none", "a style (v2) cat", True),
                                     ("compel", "a style (v2) cat", False)):
        words = ("-s", "1", "--json", "--weighting", weighting, "--embedding", "style (v2).safetensors", "-o", f"{weighting}{named}.png")
        result = darkroom.make(prompt, *words)
        assert result.objects[0]["embedding"] == (["style (v2).safetensors"] if named else None), (weighting, prompt)


def test_a_name_in_another_encoding(darkroom):
    name = b"caf\xe9.safetensors"
    (darkroom.folder / os.fsdecode(name)).write_bytes(safetensors({"emb_params": vectors()}))
    plain = picture(darkroom, "a cat", name="plain.png")
    assert picture(darkroom, "a cat", "--embedding", os.fsdecode(name)) == plain


def test_several_with_a_lora_and_weights(darkroom, style):
    darkroom.write("toy.safetensors", safetensors({"<cat-toy>": vectors(1, seed=2)[0]}))
    darkroom.write("light.safetensors", lora())
    words = ["--embedding", "style.safetensors", "--embedding", "toy.safetensors"]
    cases = [words, words[:2], words[2:], [*words, "--lora", "light.safetensors"], [*words, "--weighting", "compel"]]
    prompt = "a <cat-toy> of style++"
    assert len({picture(darkroom, prompt, *case, name=f"{index}.png") for index, case in enumerate(cases)}) == len(cases)


def test_lines_of_a_prompt_file_have_their_own(darkroom, style):
    darkroom.write("other.safetensors", safetensors({"emb_params": vectors(3, seed=2)}))
    darkroom.write("p.jsonl", "\n".join(json.dumps({"prompt": "a style", **own}) for own in (
        {}, {"embedding": "style.safetensors"}, {"embedding": ["style=other.safetensors", "a=style.safetensors"]}, {"embedding": []}, {})))
    result = darkroom.make("-f", "p.jsonl", "-s", "1", "--batch-size", "4", "--json")
    assert [o["embedding"] for o in sorted(result.objects, key=lambda o: o["index"])] == [
        None, ["style.safetensors"], ["style=other.safetensors", "a=style.safetensors"], None, None]
    plain, first, second, none, last = (pixels(darkroom.folder / f"0000{index}-a-style-1.png") for index in range(5))
    assert len({plain, first, second}) == 3
    assert plain == none == last
    assert first == picture(darkroom, "a style", "--embedding", "style.safetensors", name="alone.png")


def test_a_column_and_a_configuration_file_may_name_them(darkroom, style):
    darkroom.write("p.csv", "prompt,embedding\na style,style.safetensors\na style,\n")
    assert [o["embedding"] for o in darkroom.make("-f", "p.csv", "-s", "1", "--json").objects] == [["style.safetensors"], None]
    darkroom.write("my.conf", "embedding = style.safetensors\nembedding = sks=style.safetensors\n")
    assert darkroom.make("style sks", "-s", "1", "--config", "my.conf", "--json").objects[0]["embedding"] == [
        "style.safetensors", "sks=style.safetensors"]


def test_they_are_recorded(darkroom, style):
    darkroom.write("a, b:c.safetensors", safetensors({"emb_params": vectors(seed=2)}))
    darkroom.write("unused.safetensors", safetensors({"emb_params": vectors(seed=2)}))
    picture(darkroom, "a style", "-n", "A, b:C, <x>", "--embedding", "style.safetensors", "--embedding", "a, b:c.safetensors",
            "--embedding", "<x>=style.safetensors", "--embedding", "unused.safetensors")
    parameters, recorded = record(darkroom.folder / "x.png")
    assert recorded["embedding"] == ["style.safetensors", "a, b:c.safetensors", "<x>=style.safetensors"]
    whole = hashlib.sha256(style.read_bytes()).hexdigest()
    assert recorded["model"]["sha256"]["embedding/style.safetensors"] == whole
    assert recorded["model"]["embedding"][0] == {"name": "style", "hash": whole[:12]}
    assert f'TI hashes: "style: {whole[:12]}, a bc: ' in parameters
    assert f", x: {whole[:12]}\"" in parameters
    assert '"embedding": [' in darkroom.run("inspect", "x.png").out
    picture(darkroom, "a style", name="plain.png")
    parameters, recorded = record(darkroom.folder / "plain.png")
    assert "TI hashes" not in parameters and "embedding" not in recorded["model"]


def test_they_count_on_resuming(darkroom, style):
    words = ("a style", "-s", "1", "-o", "x.png", "--embedding", "style.safetensors")
    assert darkroom.make(*words).code == 0
    assert "1 of 1 pictures are there already" in darkroom.make(*words).err
    result = darkroom.make("a style", "-s", "1", "-o", "x.png")
    assert result.code == 4
    assert 'embedding: ["style.safetensors"] there, none asked for' in result.err
    style.write_bytes(safetensors({"emb_params": vectors(seed=3)}))
    result = darkroom.make(*words)
    assert result.code == 4
    assert "another model, LoRA or embedding, or another version of one" in result.err


ODD = numpy.array([[numpy.nan] * 8])
WHOLE = safetensors({"emb_params": vectors()})
BAD = {
    "gone.safetensors": (None, 3, "cannot read 'gone.safetensors': no such file"),
    "sks=gone.safetensors": (None, 3, "cannot read 'gone.safetensors': no such file"),
    "": (None, 2, "--embedding: no file is named"),
    "=x.safetensors": (None, 2, "--embedding: '=x.safetensors' has no name before the '='"),
    "sks=": (None, 2, "--embedding: 'sks=' names no file"),
    "x.safetensors": (b"", 3, "is no whole safetensors file"),
    "cut.safetensors": (WHOLE[:-1], 3, "'cut.safetensors' is no whole safetensors file: tensor "),
    "x.pt": (b"PK\3\4" + bytes(100), 3, "'x.pt' is a pickle, which could run code; 'scripts/export --embedding x.pt -o x.safetensors'"),
    "lora.safetensors": (lora(), 3, "'lora.safetensors' is no textual inversion embedding: it holds 'lora_te_text_model_"),
    "nan.safetensors": (safetensors({"emb_params": ODD}), 3, "'nan.safetensors' holds 'emb_params' with values that are no numbers"),
    "cube.safetensors": (safetensors({"<x>": vectors()[None]}), 3, "'cube.safetensors' holds '<x>' of the shape [1, 2, 8]"),
}


@pytest.mark.parametrize("word", BAD)
def test_bad_files_are_found_before_the_model_is_loaded(darkroom, word):
    content, code, text = BAD[word]
    if content is not None:
        darkroom.write(word.split("=")[-1], content)
    (darkroom.copy_model() / "unet.pt").write_bytes(b"")  # would be found, too, were it looked at
    result = darkroom.make("x", "-m", "model", "-s", "1", "--embedding", word)
    assert (result.code, result.out) == (code, "")
    assert text in result.err
    assert len(result.err.splitlines()) == 1
    assert darkroom.files() == []


def test_two_of_one_name(darkroom, style):
    result = darkroom.make("x", "-s", "1", "--embedding", "style.safetensors", "--embedding", "STYLE=style.safetensors")
    assert result.code == 2
    assert "'STYLE' would stand for both 'style.safetensors' and 'style.safetensors'; NAME=FILE gives one another name" in result.err


BAD_FOR_THE_MODEL = {
    "sd2": ({"emb_params": vectors(width=16)}, "'emb_params' has vectors of 16 channels, and text encoder 'text' takes 8"),
    "sdxl": ({"clip_l": vectors(), "clip_g": vectors(width=16)}, "'clip_g' has vectors of 16 channels, and text encoder 'text' takes 8"),
    "long": ({"emb_params": vectors(76)}, "holds 76 vectors, more than the 75 that text encoder 'text' reads at once"),
}


@pytest.mark.parametrize("kind", BAD_FOR_THE_MODEL)
def test_an_embedding_of_another_model(darkroom, kind):
    tensors, text = BAD_FOR_THE_MODEL[kind]
    darkroom.write("x.safetensors", safetensors(tensors))
    result = darkroom.make("an x", "-s", "1", "--embedding", "x.safetensors")
    assert (result.code, result.out) == (3, "")
    assert "'x.safetensors' " in result.err and text in result.err
    assert darkroom.files() == []


def test_a_bad_line_does_not_stop_the_others(darkroom, style):
    darkroom.write("broken.safetensors", WHOLE[:-1])
    darkroom.write("wide.safetensors", safetensors({"emb_params": vectors(width=16)}))
    only_the_second_line_works(darkroom, "embedding", [
        "gone.safetensors", "style.safetensors", "broken.safetensors", "broken.safetensors", "wide.safetensors", 5])


def test_check_with_an_embedding(darkroom, style):
    check_reads(darkroom, "--embedding")
