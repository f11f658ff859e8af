"""Options that cannot be: refused with exit 2 before a model is loaded, with nothing left behind."""

import os

import pytest


@pytest.mark.parametrize(
    "words, message",
    [
        (["--steps", "20x"], "--steps: '20x' is not a whole number (allowed: 1 to 1000)"),
        (["--steps", "-1"], "--steps: -1 is out of range (allowed: 1 to 1000)"),
        (["--steps", "0"], "--steps: 0 is out of range"),
        (["--steps", "1e9"], "--steps: '1e9' is not a whole number"),
        (["--steps", "1000000000"], "--steps: 1000000000 is out of range"),
        (["-W", "-1"], "--width: -1 is out of range (allowed: 8 to 16384)"),
        (["-W", "0"], "--width: 0 is out of range"),
        (["-W", "100000", "-H", "100000"], "--width: 100000 is out of range"),
        (["-W", "17"], "17 is no multiple of 2"),
        (["--cfg-scale", "nan"], "--cfg-scale: 'nan' is not a number"),
        (["--eta", "inf"], "--eta: "),
        (["-s", "4294967296"], "--seed: 4294967296 is out of range (allowed: -1 to 4294967295)"),
        (["--sampler", "ddin"], "unknown sampler 'ddin'; did you mean 'ddim'?"),
        (["--schedule", "trail"], "unknown schedule 'trail' (allowed: leading, "),
        (["--sigmas", "1,x"], "--sigmas: 'x' is not a number"),
        (["--sampler", "euler", "--sigmas", "2,1,0", "--steps", "3"], "--steps 3, but --sigmas lists 2"),
        (["--timesteps", "700,300", "--schedule", "trailing"], "--timesteps has no effect on schedule 'trailing'"),
        (["--eta", "0.5", "--sampler", "ddpm"], "--eta has no effect on sampler 'ddpm'"),
        (["--eta", "0", "--sampler", "ddpm"], "--eta has no effect on sampler 'ddpm'"),
        (["--sampler", "ddpm", "--cfg-pp", "--cfg-scale", "0.6"], "--cfg-pp has no effect on sampler 'ddpm'"),
        (["--sampler", "lcm", "--schedule", "karras"], "--schedule has no effect on sampler 'lcm'"),
        (["--precision", "fp8"], "unknown precision 'fp8'"),
        (["--precision", "fp16", "--device", "cpu"], "precision 'fp16' needs a CUDA device; on the CPU: fp32 or bf16"),
        (["--device", "cudda"], "unknown device 'cudda'; did you mean 'cuda'?"),
        (["--stepz", "3"], "unknown option '--stepz'; did you mean '--steps'?"),
        (["--steps"], "--steps"),
        (["second"], "unexpected 'second'; put quotes around a prompt of several words"),
        (["-b", "2", "-o", "x.png"], "needs a placeholder"),
        (["-b", "2", "--name", "{slug}.png"], "needs a placeholder"),
        (["--name", "{sed}.png"], "unknown placeholder 'sed'; did you mean 'seed'?"),
        (["--name", "../{seed}.png"], "must lie in the output folder"),
        (["--config", "nothing.conf"], "nothing.conf"),
    ],
)
def test_refused(darkroom, words, message):
    result = darkroom.make("a prompt", *words)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("darkroom: error: ")
    assert message in result.err
    assert list(darkroom.folder.iterdir()) == []


def test_a_configuration_file_is_named_with_its_line(darkroom):
    darkroom.write("my.conf", "seed = 1\nsteps = many\n")
    result = darkroom.make("x", "--config", "my.conf")
    assert result.code == 2
    assert "my.conf:2: steps: 'many' is not a whole number" in result.err


def test_a_run_needs_a_prompt_and_one_source_of_it(darkroom):
    assert "no prompt" in darkroom.make().err
    assert "not both" in darkroom.make("x", "-f", "p.txt").err


def test_a_picture_too_large_for_the_memory(darkroom):
    result = darkroom.make("x", "-W", "16384", "-H", "16384", "--batch-size", "64", "-b", "64")
    assert result.code == 6
    assert "needs about" in result.err and "are available" in result.err
    assert darkroom.files() == []


def test_a_configuration_from_a_pipe_is_refused(darkroom):
    os.mkfifo(darkroom.folder / "pipe")
    result = darkroom.make("x", "--config", "pipe")
    assert result.code == 2
    assert "is a pipe or a device" in result.err


def test_an_empty_value_of_a_flag_is_no_prompt(darkroom):
    result = darkroom.make("--force=", "-s", "1")
    assert (result.code, result.out) == (2, "")
    assert "no prompt" in result.err
    assert darkroom.make("a cat", "--force=", "-s", "1").code == 0


def test_an_empty_value_after_an_equals_sign_is_none_of_the_next_word(darkroom):
    result = darkroom.make("--negative-prompt=", "a cat", "-s", "1", "--json")
    assert result.code == 0, result.err
    assert (result.objects[0]["prompt"], result.objects[0]["negative_prompt"]) == ("a cat", "")
