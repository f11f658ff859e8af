"""--lora, on LoRA files made here for the tiny model."""

import hashlib
import json
import os
import struct

import numpy
import pytest
from conftest import pixels
from weights import UNET, check_reads, lora, only_the_second_line_works, record, safetensors


@pytest.fixture
def style(darkroom):
    return darkroom.write("style.safetensors", lora())


def picture(darkroom, *words, name="x.png"):
    result = darkroom.make("an apple", "-s", "1", "-o", name, *words)
    assert result.code == 0, result.err
    return pixels(darkroom.folder / name)


def test_a_lora_changes_the_picture(darkroom, style):
    plain = picture(darkroom, name="plain.png")
    seen = {plain, *(picture(darkroom, "--lora", f"style.safetensors{weight}", name=f"{index}.png")
                     for index, weight in enumerate(("", ":0.5", ":-1")))}
    assert len(seen) == 4
    assert picture(darkroom, "--lora", "style.safetensors:0", name="none.png") == plain


def test_two_loras_add_up(darkroom, style):
    darkroom.write("other.safetensors", lora(seed=2))
    both = picture(darkroom, "--lora", "style.safetensors:0.7", "--lora", "other.safetensors", name="both.png")
    assert both not in (picture(darkroom, "--lora", "style.safetensors:0.7", name="one.png"),
                        picture(darkroom, "--lora", "other.safetensors", name="other.png"))
    half = ("--lora", "style.safetensors:0.5")
    twice = picture(darkroom, *half, *half, name="twice.png")
    once = picture(darkroom, "--lora", "style.safetensors", name="once.png")
    assert max(abs(a - b) for a, b in zip(twice, once, strict=True)) <= 1


def test_a_lora_takes_one_word(darkroom, style):
    result = darkroom.make("--lora", "style.safetensors", "an apple", "-s", "1", "-o", "x.png")
    assert result.code == 0, result.err
    assert record(darkroom.folder / "x.png")[1]["prompt"] == "an apple"


def test_lines_of_a_prompt_file_have_their_own(darkroom, style):
    darkroom.write("other.safetensors", lora(seed=2))
    darkroom.write("p.jsonl", "\n".join(json.dumps({"prompt": "an apple", **own}) for own in (
        {}, {"lora": "style.safetensors:0.5"}, {"lora": ["style.safetensors", "other.safetensors:0.25"]}, {"lora": []}, {})))
    result = darkroom.make("-f", "p.jsonl", "-s", "1", "--batch-size", "4", "--json")
    assert [o["lora"] for o in sorted(result.objects, key=lambda o: o["index"])] == [
        None, ["style.safetensors:0.5"], ["style.safetensors:1", "other.safetensors:0.25"], None, None]
    files = [darkroom.folder / f"0000{index}-an-apple-1.png" for index in range(5)]
    plain, half, two, none, last = (pixels(file) for file in files)
    assert len({plain, half, two}) == 3
    assert plain == none == last
    assert half == picture(darkroom, "--lora", "style.safetensors:0.5", name="alone.png")


def test_a_line_replaces_the_runs(darkroom, style):
    darkroom.write("p.jsonl", '{"prompt": "a", "lora": []}\n{"prompt": "b"}\n{"prompt": "c", "lora": "style.safetensors:2"}\n')
    result = darkroom.make("-f", "p.jsonl", "-s", "1", "--lora", "style.safetensors:0.5", "--json")
    assert [o["lora"] for o in result.objects] == [None, ["style.safetensors:0.5"], ["style.safetensors:2"]]


def test_a_column_and_a_configuration_file_may_name_one(darkroom, style):
    darkroom.write("p.csv", "prompt,lora\nan apple,style.safetensors:0.5\nan apple,\n")
    assert [o["lora"] for o in darkroom.make("-f", "p.csv", "-s", "1", "--json").objects] == [["style.safetensors:0.5"], None]
    darkroom.write("my.conf", "lora = style.safetensors:0.5\n")
    assert darkroom.make("x", "-s", "1", "--config", "my.conf", "--json").objects[0]["lora"] == ["style.safetensors:0.5"]


def test_it_is_recorded(darkroom, style):
    darkroom.write("a, b:c.safetensors", lora(seed=2))
    picture(darkroom, "--lora", "style.safetensors:0.5", "--lora", "a, b:c.safetensors")
    parameters, recorded = record(darkroom.folder / "x.png")
    assert recorded["lora"] == ["style.safetensors:0.5", "a, b:c.safetensors:1"]
    content = style.read_bytes()
    assert recorded["model"]["sha256"]["lora/style.safetensors"] == hashlib.sha256(content).hexdigest()
    # stable-diffusion-webui knows a LoRA by the hash of its tensors, without the header.
    tensors = hashlib.sha256(content[8 + struct.unpack("<Q", content[:8])[0]:]).hexdigest()[:12]
    assert parameters.splitlines()[0] == "an apple <lora:style:0.5> <lora:a bc:1>"
    assert f'Lora hashes: "style: {tensors}, a bc: ' in parameters
    assert "lora" not in json.dumps(record(darkroom.folder / plain_file(darkroom))[1]["model"])


def plain_file(darkroom):
    picture(darkroom, name="plain.png")
    return "plain.png"


def test_it_counts_on_resuming(darkroom, style):
    words = ("an apple", "-s", "1", "-o", "x.png", "--lora", "style.safetensors")
    assert darkroom.make(*words).code == 0
    assert "1 of 1 pictures are there already" in darkroom.make(*words).err
    result = darkroom.make("an apple", "-s", "1", "-o", "x.png")
    assert result.code == 4
    assert 'lora: ["style.safetensors:1"] there, none asked for' in result.err
    assert "lora: " in darkroom.make(*words[:-1], "style.safetensors:0.5").err
    style.write_bytes(lora(seed=2))
    result = darkroom.make(*words)
    assert result.code == 4
    assert "another model, LoRA or embedding, or another version of one" in result.err


def test_a_walk_goes_on_with_its_lora_alone(darkroom, style):
    whole = picture(darkroom, "--lora", "style.safetensors", name="whole.png")
    part = ("an apple", "-s", "1", "--save-state", "walk.safetensors", "--end-step", "1")
    assert darkroom.make(*part, "-o", "part.png", "--lora", "style.safetensors").code == 0
    on = ("--load-state", "walk.safetensors")
    assert picture(darkroom, *on, "--lora", "style.safetensors", name="on.png") == whole
    assert "another picture: lora: " in darkroom.make("an apple", "-s", "1", "-o", "other.png", *on).err


@pytest.mark.parametrize("offload", ["none", "text", "all"])
def test_the_weaker_model_stays_as_it_is(darkroom, style, offload):
    guided = picture(darkroom, "--autoguidance", "tiny", "--offload", offload, name="guided.png")
    changed = picture(darkroom, "--autoguidance", "tiny", "--lora", "style.safetensors", "--offload", offload, name="changed.png")
    alone = picture(darkroom, "--cfg-scale", "1", "--lora", "style.safetensors", "--offload", offload, name="alone.png")
    assert len({guided, changed, alone}) == 3  # were the weaker one changed too, guidance would have no effect


def test_odd_names(darkroom):
    name = os.fsdecode(b"C:\\st\xffyle 0.5:x.safetensors")
    (darkroom.folder / name).write_bytes(lora())
    plain, changed = picture(darkroom), picture(darkroom, "--lora", f"{name}:0.5", "-b", "1", name="y.png")
    assert plain != changed
    assert darkroom.make("an apple", "-s", "1", "-o", "y.png", "--lora", f"{name}:0.5").code == 0


BAD = {
    "gone.safetensors": (None, 3, "cannot read 'gone.safetensors': no such file"),
    "gone.safetensors:0.5": (None, 3, "cannot read 'gone.safetensors': no such file"),
    "x.safetensors:half": (lora(), 2, "--lora: weight: 'half' is not a number (allowed: -100 to 100)"),
    "x.safetensors:1000": (lora(), 2, "--lora: weight: 1000 is out of range (allowed: -100 to 100)"),
    "": (None, 2, "--lora: no file is named"),
    "x.safetensors": (b"", 3, "is no whole safetensors file"),
    "pickle.safetensors": (b"PK\3\4" + bytes(1000), 3, "is no whole safetensors file"),
    "cut.safetensors": (lora()[:-1], 3, "is no whole safetensors file: tensor "),
    "model.safetensors": (safetensors({"model.diffusion_model.out.0.weight": numpy.ones(4)}), 3,
                          "holds no LoRA but tensors such as 'model.diffusion_model.out.0.weight'"),
    "dora.safetensors": (lora(others=[f"{UNET}.dora_scale"]), 3, f"is DoRA ('{UNET}.dora_scale'), which cannot be applied"),
    "loha.safetensors": (lora(others=[f"{UNET}.hada_w1_a"]), 3, "is LoHa ("),
    "lokr.safetensors": (lora(others=[f"{UNET}.lokr_w1"]), 3, "is LoKr ("),
}


@pytest.mark.parametrize("word", BAD)
def test_bad_files_are_found_before_the_model_is_loaded(darkroom, word):
    content, code, text = BAD[word]
    if content is not None:
        darkroom.write(word.split(":")[0], content)
    (darkroom.copy_model() / "unet.pt").write_bytes(b"")  # would be found, too, were it looked at
    result = darkroom.make("x", "-m", "model", "-s", "1", "--lora", word)
    assert (result.code, result.out) == (code, "")
    assert text in result.err
    assert len(result.err.splitlines()) == 1
    assert darkroom.files() == []


BAD_FOR_THE_MODEL = {
    "sdxl": (lora([UNET], width=64), f"does not fit the model: '{UNET}.lora_down.weight' has the shape [2, 64], and "
             "'mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight' of network 'unet' is [8, 8]"),
    "flux": (lora(modules=["lora_unet_double_blocks_0_img_attn_proj"]), "changes nothing in model 'tiny': "),
}


@pytest.mark.parametrize("kind", BAD_FOR_THE_MODEL)
def test_a_lora_of_another_model(darkroom, kind):
    content, text = BAD_FOR_THE_MODEL[kind]
    darkroom.write("x.safetensors", content)
    result = darkroom.make("x", "-s", "1", "--lora", "x.safetensors")
    assert (result.code, result.out) == (3, "")
    assert text in result.err
    assert darkroom.files() == []


def test_keys_without_a_use_are_a_warning(darkroom):
    darkroom.write("x.safetensors", lora(modules=[UNET, "lora_unet_nowhere"], others=["emb_params"]))
    result = darkroom.make("x", "-b", "2", "-s", "1", "--lora", "x.safetensors", "--json")
    assert result.code == 0
    warnings = [o for o in result.objects if "warning" in o]
    assert [(w["warning"], w["place"]) for w in warnings] == [("lora_keys_unused", "x.safetensors")]
    assert warnings[0]["text"].startswith("4 of its tensors change nothing in this model: emb_params, lora_unet_nowhere.")


def test_a_bad_line_does_not_stop_the_others(darkroom, style):
    darkroom.write("broken.safetensors", lora()[:-1])
    darkroom.write("big.safetensors", lora(width=64))
    only_the_second_line_works(darkroom, "lora", [
        "gone.safetensors", "style.safetensors", "broken.safetensors", "big.safetensors", "style.safetensors:x", 5])


def test_check_with_a_lora(darkroom, style):
    check_reads(darkroom, "--lora")
