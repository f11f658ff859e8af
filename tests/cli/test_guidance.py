"""Guidance as a person asks for it."""

import json

import pytest
from conftest import pixels
from PIL import Image


def record(file):
    with Image.open(file) as image:
        return json.loads(image.text["darkroom"])


@pytest.mark.parametrize(
    "words",
    [
        ["--guidance-start", "0.5"],
        ["--guidance-stop", "0.5"],
        ["--guidance-schedule", "linear"],
        ["--guidance-rescale", "0.7"],
        ["--apg-eta", "0"],
        ["--apg-norm", "0.01"],
        ["--cfg-zero"],
        ["--zero-init-steps", "1"],
        ["--perp-neg", "1"],
        ["--cfg-pp", "--cfg-scale", "0.6"],
    ],
)
def test_changes_the_picture_and_is_recorded(darkroom, words):
    common = ("a cat", "-n", "a dog", "-s", "1", "--steps", "3")
    assert darkroom.make(*common, "-o", "plain.png").code == 0
    result = darkroom.make(*common, *words, "-o", "x.png")
    assert result.code == 0, result.err
    assert pixels(darkroom.folder / "x.png") != pixels(darkroom.folder / "plain.png")
    key = words[0][2:].replace("-", "_")
    assert record(darkroom.folder / "x.png")[key] != record(darkroom.folder / "plain.png")[key]


def test_momentum_counts_from_the_second_step(darkroom):
    for steps, same in (("1", True), ("3", False)):
        for name, momentum in (("plain", "0"), ("momentum", "-0.5")):
            words = ("a cat", "-s", "1", "--steps", steps, "--apg-momentum", momentum, "-o", f"{name}-{steps}.png")
            assert darkroom.make(*words).code == 0
        plain, other = (pixels(darkroom.folder / f"{name}-{steps}.png") for name in ("plain", "momentum"))
        assert (plain == other) == same


def test_an_interval_saves_work_and_says_so(darkroom):
    words = ("a cat", "-s", "1", "--steps", "10", "--guidance-start", "0.2", "--guidance-stop", "0.6")
    result = darkroom.make(*words, "--json", "-v")
    assert (result.objects[0]["evaluations"], result.objects[0]["evaluations_saved"]) == (14, 6)
    assert "darkroom: the denoiser saw 14 images; 6 more were saved\n" in result.err
    assert "the denoiser saw" not in darkroom.make(*words, "--force").err


def test_composed_prompts(darkroom):
    darkroom.write("p.txt", "a cat :1.2 AND a hat\na dog :1.2 AND a coat\na cow\na sow :0.5 AND a cow :0.5\n")
    result = darkroom.make("-f", "p.txt", "--compose", "-s", "1", "--batch-size", "4", "--json")
    assert result.code == 0, result.err
    # Two steps; the prompts and the negative one.
    assert [o["evaluations"] for o in sorted(result.objects, key=lambda o: o["line"])] == [6, 6, 4, 6]
    assert result.objects[0]["prompt"] == "a cat :1.2 AND a hat"
    alone = darkroom.make("a dog :1.2 AND a coat", "--compose", "-s", "1", "-o", "alone.png")
    assert alone.code == 0
    batch = next(o["path"] for o in result.objects if o["line"] == 2)
    assert max(abs(a - b) for a, b in zip(pixels(darkroom.folder / "alone.png"), pixels(darkroom.folder / batch), strict=True)) <= 1


def test_without_compose_a_colon_and_a_word_in_capitals_are_only_that(darkroom):
    result = darkroom.make("SALT AND PEPPER :2", "-s", "1", "--json")
    assert result.objects[0]["evaluations"] == 4


def test_a_line_of_a_prompt_file_may_set_guidance(darkroom):
    lines = [
        {"prompt": "a", "guidance_rescale": 0.5, "cfg_zero": True},
        {"prompt": "b", "perp_neg": 1, "negative_prompt": "c"},
        {"prompt": "d", "perp_neg": 1},
        {"prompt": "e", "autoguidance": "tiny"},
    ]
    darkroom.write("p.jsonl", "\n".join(map(json.dumps, lines)))
    result = darkroom.make("-f", "p.jsonl", "-s", "1", "--json")
    assert result.code == 1
    made = [o for o in result.objects if "path" in o]
    assert [(o["guidance_rescale"], o["cfg_zero"], o["perp_neg"], o["evaluations"]) for o in made] == [
        (0.5, True, 0, 4),
        (0, False, 1, 6),
    ]
    assert "p.jsonl:3: --perp-neg needs a --negative-prompt" in result.err
    assert "p.jsonl:4: autoguidance: may be set for the whole run only" in result.err


def test_autoguidance_is_recorded_with_the_weaker_models_hash(darkroom, other_model):
    words = ("a cat", "-s", "1", "-o", "x.png")
    result = darkroom.make(*words, "--autoguidance", other_model, "--json")
    assert result.code == 0, result.err
    assert result.objects[0]["evaluations"] == 4
    model = record(darkroom.folder / "x.png")["model"]
    assert model["autoguidance"] == "tiny"
    assert model["sha256"]["autoguidance/unet.pt"] != model["sha256"]["unet.pt"]
    assert darkroom.make(*words, "--autoguidance", other_model, "--json").objects[0]["skipped"]
    for other in ([], ["--autoguidance", "tiny"]):
        again = darkroom.make(*words, *other)
        assert again.code == 4
        assert "another model, or another version of it" in again.err


@pytest.mark.parametrize(
    "words, code, message",
    [
        (["--autoguidance", "tiny-v"], 2, "'tiny-v' does not fit 'tiny': its latents have another shape"),
        (["--autoguidance", "tini"], 3, "unknown model 'tini'; did you mean 'tiny'?"),
        (["--autoguidance", "tiny", "-n", "x"], 2, "--negative-prompt has no effect with --autoguidance"),
        (["--perp-neg", "1"], 2, "--perp-neg needs a --negative-prompt"),
        (["--cfg-pp"], 2, "--cfg-pp needs a --cfg-scale of 0 to 1"),
        (["--guidance-rescale", "0.7", "--cfg-scale", "1"], 2, "--guidance-rescale has no effect without guidance"),
        (["--guidance-rescale", "1.5"], 2, "--guidance-rescale: 1.5 is out of range (allowed: 0 to 1)"),
        (["--guidance-schedule", "cosin"], 2, "did you mean 'cosine'?"),
        (["--zero-init-steps", "2"], 2, "leaves none of 2 steps to the network"),
    ],
)
def test_refused_before_a_model_is_loaded(darkroom, words, code, message):
    result = darkroom.make("a cat", *words)
    assert result.code == code
    assert message in result.err
    assert darkroom.files() == []


def test_every_option_has_its_help(darkroom):
    text = darkroom.run("--help").out
    section = text.split("\nGuidance\n")[1].split("\n\n")[0]
    for name in ("cfg-scale", "guidance-start", "guidance-rescale", "apg-eta", "cfg-zero", "perp-neg", "cfg-pp", "compose", "autoguidance"):
        assert f"--{name}" in section
