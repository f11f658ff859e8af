"""Runs that are stopped: what is there is whole, and the same command goes on."""

import random
import signal
import subprocess
import time

import pytest
from conftest import pixels, stop, wait_for

# Steps enough that a picture takes longer than a test needs to look at it.
SLOW = ("x", "--steps", "60", "-o", "out")


def started(darkroom, *words):
    """A run that has written its first picture."""
    process = darkroom.start(*words)
    wait_for(lambda: darkroom.files() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    return process


def test_kill_leaves_whole_files_and_nothing_else(darkroom):
    words = ("x", "-b", "30", "-s", "1", "-o", "out")
    chance = random.Random(1)
    for _ in range(4):
        before = len(darkroom.files())
        process = darkroom.start(*words, "--steps", "10")
        wait_for(lambda: len(darkroom.files()) > before + chance.randrange(4) or process.poll() is not None)
        stop(process)
        for file in (darkroom.folder / "out").iterdir():
            pixels(file)
    assert darkroom.make(*words, "--steps", "10").code == 0
    assert len(list((darkroom.folder / "out").iterdir())) == 30


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_finishes_the_picture_in_hand(darkroom, how):
    process = started(darkroom, *SLOW, "-b", "100")
    _, errors = stop(process, how)
    assert process.returncode == 75
    done = darkroom.files()
    assert 0 < len(done) < 100
    for name in done:
        pixels(darkroom.folder / name)
    assert f"{len(done)} of 100 pictures are there" in errors.decode()


def test_the_command_it_prints_goes_on(darkroom):
    process = started(darkroom, *SLOW, "-b", "6")
    _, errors = stop(process, signal.SIGINT)
    assert process.returncode == 75
    command = errors.decode().splitlines()[-1]
    assert "--seed" in command
    done = len(darkroom.files())
    result = subprocess.run(["bash", "-c", command], cwd=darkroom.folder, env=darkroom.environment, capture_output=True)
    assert result.returncode == 0, result.stderr
    assert f"{done} of 6 pictures are there already" in result.stderr.decode()
    assert len(darkroom.files()) == 6


def test_the_second_signal_stops_at_once(darkroom):
    process = started(darkroom, "x", "-b", "2", "-o", "out", "--name", "{index}.png", "--steps", "900")
    time.sleep(0.5)  # The second picture is in hand.
    process.send_signal(signal.SIGINT)
    assert b"once more stops at once" in next(line for line in process.stderr if b"stopping" in line)
    stop(process, signal.SIGINT)
    assert process.returncode == 75
    assert darkroom.files() == ["out/00000.png"]


def test_a_signal_ignored_at_the_start_stays_ignored(darkroom):
    process = darkroom.start("x", "-b", "3", "-s", "1", "--steps", "60", under=["nohup"])
    wait_for(darkroom.files)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(darkroom.files()) == 3


def test_kill_while_overwriting_leaves_one_of_the_two_pictures(darkroom):
    for seed in range(3):
        process = darkroom.start("x", "-b", "30", "-s", str(seed), "--name", "{index}.png", "--force", "-o", "out")
        wait_for(lambda: len(darkroom.files()) > 3 or process.poll() is not None)
        stop(process)
        for file in darkroom.files():
            pixels(darkroom.folder / file)


def test_a_signal_before_the_work_ends_the_program(darkroom):
    process = darkroom.start("-", stdin=subprocess.PIPE)
    time.sleep(0.5)  # It waits for its prompt.
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == -signal.SIGTERM


def test_without_metadata_it_promises_no_way_to_go_on(darkroom):
    process = started(darkroom, *SLOW, "-b", "100", "--no-metadata")
    _, errors = stop(process, signal.SIGINT)
    assert process.returncode == 75
    assert b"none can be skipped next time" in errors
