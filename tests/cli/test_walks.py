"""Parts of a walk: its latents, its start and end, and stopping and going on."""

import json
import struct

import numpy
import pytest
from PIL import Image


def pixels(darkroom, name):
    return numpy.asarray(Image.open(darkroom.folder / name))


@pytest.mark.parametrize("sampler", ["euler_a", "dpm++2m"])  # all of them: tests/diffusion/every_sampler_test.cpp
def test_a_walk_that_was_stopped_goes_on_to_the_same_picture(darkroom, sampler):
    words = ["--sampler", sampler, "--steps", "5", "-s", "3", "a cat"]
    assert darkroom.make(*words, "-o", "whole.png").code == 0
    for stop in (1, 3):
        parts = [*words, "--end-step", stop, "--save-state", f"{stop}.safetensors", "-o", f"part{stop}.png"]
        assert darkroom.make(*parts).code == 0
        result = darkroom.make(*words, "--load-state", f"{stop}.safetensors", "-o", f"rest{stop}.png")
        assert result.code == 0, result.err
        assert (pixels(darkroom, f"rest{stop}.png") == pixels(darkroom, "whole.png")).all()
    assert (pixels(darkroom, "part1.png") != pixels(darkroom, "whole.png")).any()


def test_a_state_is_of_one_picture(darkroom):
    words = ["--steps", "4", "-s", "3", "a cat"]
    assert darkroom.make(*words, "--end-step", "2", "--save-state", "a.safetensors", "-o", "a.png").code == 0
    other = darkroom.make("--steps", "4", "-s", "3", "a dog", "--load-state", "a.safetensors", "-o", "b.png")
    assert other.code == 2 and "is of another picture: prompt" in other.err
    sampler = darkroom.make(*words, "--sampler", "heun", "--load-state", "a.safetensors", "-o", "b.png")
    assert sampler.code == 2 and "sampler: " in sampler.err
    several = darkroom.make(*words, "-b", "2", "--save-state", "b.safetensors")
    assert several.code == 2 and "are for one picture; this run makes 2" in several.err
    again = darkroom.make(*words, "--save-state", "a.safetensors", "-o", "c.png")
    assert again.code == 4 and "exists already" in again.err
    assert not (darkroom.folder / "b.png").exists() and not (darkroom.folder / "c.png").exists()


def test_a_damaged_state_is_refused(darkroom):
    words = ["--steps", "4", "-s", "3", "a cat"]
    darkroom.make(*words, "--end-step", "2", "--save-state", "a.safetensors", "-o", "a.png")
    whole = (darkroom.folder / "a.safetensors").read_bytes()
    header = json.dumps({"__metadata__": {"format": "another"}}).encode()
    damaged = {"cut": whole[:-7], "empty": b"", "other": struct.pack("<Q", len(header)) + header}
    for name, data in damaged.items():
        (darkroom.folder / name).write_bytes(data)
        result = darkroom.make(*words, "--load-state", name, "-o", "b.png")
        assert result.code == 2 and f"'{name}' " in result.err, name


def test_latents_are_written_beside_the_picture_and_start_the_same_walk(darkroom):
    assert darkroom.make("--steps", "3", "-s", "3", "a cat", "--save-latents", "-o", "a.png").code == 0
    latents = numpy.load(darkroom.folder / "a.npy")
    assert latents.dtype == numpy.float32 and latents.shape == (4, 8, 8) and latents.std() > 0
    # Unit noise of one's own: float64 and a batch dimension are read too.
    start = numpy.random.default_rng(1).standard_normal((1, 4, 8, 8))
    numpy.save(darkroom.folder / "start.npy", start)
    numpy.save(darkroom.folder / "single.npy", start[0].astype(numpy.float32))
    for name in ("start", "single"):
        result = darkroom.make("-s", "3", "a cat", "--init-latents", f"{name}.npy", "-o", f"{name}.png")
        assert result.code == 0, result.err
    assert (pixels(darkroom, "start.png") == pixels(darkroom, "single.png")).all()
    darkroom.make("-s", "3", "a cat", "-o", "noise.png")
    assert (pixels(darkroom, "start.png") != pixels(darkroom, "noise.png")).any()


@pytest.mark.parametrize("sampler", ["ddim", "euler", "heun"])
def test_the_second_half_starts_from_the_latents_of_the_first(darkroom, sampler):
    words = ["--sampler", sampler, "--steps", "4", "-s", "3", "a cat"]
    darkroom.make(*words, "-o", "whole.png")
    darkroom.make(*words, "--end-step", "2", "--save-latents", "-o", "half.png")
    result = darkroom.make(*words, "--start-step", "2", "--init-latents", "half.npy", "-o", "rest.png")
    assert result.code == 0, result.err
    assert (pixels(darkroom, "rest.png") == pixels(darkroom, "whole.png")).all()


def test_every_step_can_be_traced(darkroom):
    result = darkroom.make("--steps", "3", "-s", "3", "a cat", "--trace-latents", "trace", "--save-latents", "-o", "a.png")
    assert result.code == 0, result.err
    names = sorted(path.name for path in (darkroom.folder / "trace").iterdir())
    told = ["a-negative-context.npy", "a-prompt-context.npy"]
    assert names == [*told, "a-step-0001.npy", "a-step-0002.npy", "a-step-0003.npy"]
    negative, prompt = (numpy.load(darkroom.folder / "trace" / name) for name in told)
    assert negative.shape == prompt.shape == (77, 8) and (negative != prompt).any()
    last = numpy.load(darkroom.folder / "trace" / names[-1])
    assert (last == numpy.load(darkroom.folder / "a.npy")).all()


@pytest.mark.parametrize(
    "words, said",
    [
        (["--start-step", "1"], "--start-step needs the latents to start from"),
        (["--end-step", "3"], "--end-step 3; this walk has 2 steps"),
        (["--init-latents", "none.npy"], "none.npy"),
        (["--init-latents", "shape.npy"], "has the shape [4, 4, 4]; latents of [4, 8, 8] are needed"),
        (["--init-latents", "nan.npy"], "no numbers (NaN or Inf)"),
        (["--init-latents", "whole.npy"], "'<i8'; float16, float32 and float64 can be read"),
        (["--init-latents", "text.npy"], "is no .npy file"),
        (["--init-latents", "good.npy", "--start-step", "2"], "--start-step 2; this walk has 2 steps"),
        (["--init-latents", "good.npy", "--start-step", "1", "--end-step", "1"], "is not after --start-step 1"),
    ],
)
def test_impossible_parts_are_refused(darkroom, words, said):
    arrays = {"shape": numpy.zeros((4, 4, 4)), "nan": numpy.full((4, 8, 8), numpy.nan), "good": numpy.zeros((4, 8, 8)),
              "whole": numpy.zeros((4, 8, 8), int)}
    for name, array in arrays.items():
        numpy.save(darkroom.folder / f"{name}.npy", array)
    (darkroom.folder / "text.npy").write_text("some latents")
    result = darkroom.make(*words, "a cat")
    assert result.code == 2 and said in result.err, result.err
    assert not list(darkroom.folder.glob("*.png"))


def test_zero_is_a_value(darkroom):
    """Not the same as leaving the option out, which means the sampler's own."""

    def made(name, *words):
        assert darkroom.make("--steps", "3", "-s", "3", "a cat", *words, "-o", name).code == 0
        return pixels(darkroom, name)

    ancestral = made("ancestral.png", "--sampler", "euler_a")
    assert (made("quiet.png", "--sampler", "euler_a", "--s-noise", "0") != ancestral).any()
    still = made("still.png", "--sampler", "euler_a", "--eta", "0")
    assert (still != ancestral).any() and (still == made("euler.png", "--sampler", "euler")).all()
    clipped, off = made("clipped.png", "--clip-sample", "0.1"), made("off.png", "--clip-sample", "0")
    assert (clipped != off).any() and (off == made("plain.png")).all()
    assert json.loads(Image.open(darkroom.folder / "off.png").info["darkroom"])["clip_sample"] == 0
