"""Files that cannot be written, are there already, or are left by a run that was stopped."""

import os
import subprocess

import pytest
from conftest import BINARY, SMALL, pixels, stop, wait_for


def test_the_same_command_skips_what_is_done(darkroom):
    words = ("x", "-s", "3", "-b", "2", "--json")
    assert [o["skipped"] for o in darkroom.make(*words).objects] == [False, False]
    (darkroom.folder / "00001-x-4.png").unlink()
    before = os.stat(darkroom.folder / "00000-x-3.png")
    assert sorted(o["skipped"] for o in darkroom.make(*words).objects) == [False, True]
    assert os.stat(darkroom.folder / "00000-x-3.png").st_mtime_ns == before.st_mtime_ns


def test_another_picture_is_not_overwritten(darkroom):
    assert darkroom.make("x", "-s", "3", "-o", "x.png").code == 0
    before = (darkroom.folder / "x.png").read_bytes()
    result = darkroom.make("x", "-s", "4", "-o", "x.png")
    assert result.code == 4
    assert "'./x.png' exists already, and seed: 3 there, 4 asked for (--force overwrites)" in result.err
    assert (darkroom.folder / "x.png").read_bytes() == before
    assert darkroom.make("x", "-s", "4", "-o", "x.png", "--force").code == 0
    assert (darkroom.folder / "x.png").read_bytes() != before


def test_nothing_is_made_if_one_file_is_in_the_way(darkroom):
    darkroom.write("00001-x-4.png", "my notes")
    result = darkroom.make("x", "-s", "3", "-b", "2")
    assert result.code == 4
    assert darkroom.files() == ["00001-x-4.png"]


def test_a_link_to_nowhere_is_in_the_way_too(darkroom):
    (darkroom.folder / "x.png").symlink_to("elsewhere.png")
    result = darkroom.make("x", "-o", "x.png")
    assert result.code == 4
    assert "(--force overwrites)" in result.err
    assert not (darkroom.folder / "elsewhere.png").exists()


def test_a_file_in_a_folder_that_is_not_there(darkroom):
    result = darkroom.make("x", "-o", "nothing/x.png")
    assert result.code == 4
    assert "there is no folder 'nothing'" in result.err


def test_no_permission(darkroom, as_nobody):
    darkroom.folder.chmod(0o755)
    result = darkroom.make("x", "-o", "out", **as_nobody)
    assert result.code == 4
    assert "cannot write into" in result.err and "permission denied" in result.err.lower()


def test_a_device_is_no_folder(darkroom):
    result = darkroom.make("x", "-o", "/dev/full")
    assert result.code == 4
    assert "/dev/full" in result.err


def test_results_into_a_full_device_are_an_error_but_the_picture_is_kept(darkroom):
    with open("/dev/full", "w") as full:
        result = subprocess.run([BINARY, *SMALL, "x", "-s", "1"], cwd=darkroom.folder, env=darkroom.environment,
                                stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 4
    assert b"no space left" in result.stderr.lower()
    pixels(darkroom.folder / "00000-x-1.png")


def test_a_full_file_system_keeps_whole_files_only(darkroom, small_tmpfs):
    result = darkroom.make("x", "-b", "40", "-s", "1", "-o", small_tmpfs)
    assert result.code == 1
    assert "no space left" in result.err.lower()
    files = sorted(small_tmpfs.iterdir())
    assert 0 < len(files) < 40
    for file in files:
        pixels(file)


@pytest.mark.parametrize("redirection", [">&-", "<&- >&-", "| true"])
def test_a_closed_standard_output_is_no_reason_to_stop(darkroom, redirection):
    words = " ".join(["x", "-b", "3", "-s", "1", *SMALL])
    shell = subprocess.run(["bash", "-o", "pipefail", "-c", f"'{BINARY}' {words} {redirection}"], cwd=darkroom.folder,
                           env=darkroom.environment, stderr=subprocess.PIPE, timeout=60)
    assert shell.returncode == 0, shell.stderr
    assert len(darkroom.files()) == 3
    for name in darkroom.files():
        pixels(darkroom.folder / name)


def test_no_file_takes_the_place_of_a_closed_standard_output(darkroom):
    process = darkroom.start("x", "--steps", "300", "-b", "2", under=["bash", "-c", 'exec "$@" >&-', "bash"])
    wait_for(darkroom.files)
    assert os.readlink(f"/proc/{process.pid}/fd/1") == "/dev/null"
    stop(process)


def test_a_name_in_capitals_is_a_file_too(darkroom):
    assert darkroom.make("x", "-o", "x.PNG").code == 0
    assert (darkroom.folder / "x.PNG").is_file()
    assert "parameters:" in darkroom.run("inspect", "x.PNG").out


def test_without_metadata_nothing_passes_for_the_picture(darkroom):
    assert darkroom.make("x", "-s", "1").code == 0
    again = darkroom.make("x", "-s", "1", "--no-metadata")
    assert again.code == 4
    assert "--no-metadata leaves no way to tell" in again.err


def test_a_dry_run_tells_of_bad_lines_by_its_code(darkroom):
    darkroom.write("p.jsonl", '{"prompt": "x"}\n{"prompt": null}\n')
    result = darkroom.make("-f", "p.jsonl", "--dry-run")
    assert result.code == 1
    assert "p.jsonl:2: the prompt is null" in result.err
    assert darkroom.files() == []
