"""What a good run gives."""

import json
import os
import pty
import subprocess

from conftest import BINARY, SMALL, pixels
from PIL import Image


def test_a_prompt_becomes_a_picture(darkroom):
    result = darkroom.make("A red apple, please!", "--seed", "5")
    assert result.code == 0, result.err
    assert result.out == "./00000-a-red-apple-please-5.png\n"
    with Image.open(darkroom.folder / result.out.strip()) as image:
        assert image.size == (16, 16)
        assert image.text["parameters"].startswith("A red apple, please!\nSteps: 2, Sampler: ddim")
        record = json.loads(image.text["darkroom"])
        assert (record["prompt"], record["seed"], record["steps"]) == ("A red apple, please!", 5, 2)
        assert len(record["model"]["sha256"]["unet.pt"]) == 64
        assert "trainedAlgorithmicMedia" in image.text["XML:com.adobe.xmp"]


def test_no_metadata(darkroom):
    assert darkroom.make("x", "-o", "x.png", "--no-metadata").code == 0
    with Image.open(darkroom.folder / "x.png") as image:
        assert image.text == {}


def test_an_empty_prompt_is_unconditional(darkroom):
    assert darkroom.make("", "-s", "1").out == "./00000-image-1.png\n"


def test_a_prompt_from_standard_input_loses_its_last_line_end(darkroom):
    result = darkroom.make("-", "-s", "1", "--json", input=b"a red\napple\n")
    assert result.objects[0]["prompt"] == "a red\napple"


def test_a_prompt_of_a_megabyte_loses_words_but_not_the_picture(darkroom):
    result = darkroom.make("-", "-o", "x.png", input=b"apple " * 180_000)
    assert result.code == 0
    assert "darkroom: warning: prompt: " in result.err
    assert darkroom.files() == ["x.png"]


def test_invalid_utf8_is_a_warning(darkroom):
    result = darkroom.make("-", "-o", "x.png", "--json", input=b"a \xff apple")
    assert result.code == 0
    assert [o["warning"] for o in result.objects if "warning" in o] == ["invalid_utf8"]


def test_a_seed_drawn_at_random_is_said_and_recorded(darkroom):
    first, second = (darkroom.make("x", "--json") for _ in range(2))
    seeds = [result.objects[0]["seed"] for result in (first, second)]
    assert seeds[0] != seeds[1]
    assert f"darkroom: seed {seeds[0]}\n" in first.err


def test_seeds_count_up_and_wrap(darkroom):
    result = darkroom.make("x", "-b", "2", "-s", "4294967295", "--json")
    assert [o["seed"] for o in result.objects] == [4294967295, 0]


def test_json_is_one_object_a_line(darkroom):
    darkroom.write("p.jsonl", '{"prompt": "a", "tag": ["x"]}\n{"prompt": "b", "steps": 1}\n')
    result = darkroom.make("-f", "p.jsonl", "--json", "-s", "3")
    assert [(o["index"], o["line"], o["steps"], o["skipped"]) for o in result.objects] == [(0, 1, 2, False), (1, 2, 1, False)]
    assert result.objects[0]["extras"] == {"tag": ["x"]}
    assert result.objects[0]["seconds"] > 0


def test_the_same_command_makes_the_same_bytes(darkroom):
    files = []
    for folder in ("a", "b"):
        assert darkroom.make("apple", "-s", "7", "-b", "3", "-o", folder).code == 0
        files.append([file.read_bytes() for file in sorted((darkroom.folder / folder).iterdir())])
    assert files[0] == files[1]
    assert len(set(files[0])) == 3


def test_a_picture_does_not_depend_on_its_batch(darkroom):
    darkroom.write("p.txt", "an apple\na pear\na plum\n")
    for folder, size in (("one", 1), ("two", 2)):
        words = ("-f", "p.txt", "-s", "7", "-b", "2", "-o", folder, "--batch-size", size)
        assert darkroom.make(*words).code == 0
    for one in sorted((darkroom.folder / "one").iterdir()):
        two = darkroom.folder / "two" / one.name
        assert max(abs(a - b) for a, b in zip(pixels(one), pixels(two), strict=True)) <= 1


def test_names_from_a_template(darkroom):
    darkroom.write("p.jsonl", '{"prompt": "a", "id": "../../Cat 1"}\n')
    result = darkroom.make("-f", "p.jsonl", "-s", "1", "-o", "out", "--name", "{id}/{width}x{height}-{seed}.png")
    assert result.out == "out/cat-1/16x16-1.png\n"


def test_partiprompts_opens_as_it_is(darkroom):
    darkroom.write("PartiPrompts.tsv", 'Prompt\tCategory\tChallenge\tNote\r\na sign "Hi\tWorld\tBasic\tnone\r\n')
    result = darkroom.make("-f", "PartiPrompts.tsv", "--json")
    assert result.objects[0]["prompt"] == 'a sign "Hi'
    assert result.objects[0]["extras"] == {"Category": "World", "Challenge": "Basic", "Note": "none"}


def test_progress_is_for_people_only(darkroom):
    assert "picture 1 of 1" in darkroom.make("x", "-s", "1").err
    assert darkroom.make("x", "-s", "2", "--quiet").err == ""


def test_a_bar_on_a_terminal(darkroom):
    ours, theirs = pty.openpty()
    with open(theirs, "wb") as terminal:
        subprocess.run([BINARY, *SMALL, "x", "-s", "1"], cwd=darkroom.folder, env=darkroom.environment, stderr=terminal,
                       stdout=subprocess.DEVNULL, check=True)
    shown = os.read(ours, 10_000).decode()
    assert "[####################] step 2/2, " in shown
    assert shown.endswith("\r\x1b[K")


def test_dry_run_makes_nothing(darkroom):
    result = darkroom.make("x", "-b", "2", "-s", "1", "-o", "out", "--dry-run")
    assert result.code == 0
    assert "write   out/00001-x-2.png" in result.out
    assert " available" in result.out
    assert not (darkroom.folder / "out").exists()


def test_configuration_file(darkroom):
    darkroom.write("my.conf", "# mine\nseed = 9\nsteps = 1\n")
    objects = darkroom.make("x", "--config", "my.conf", "--json").objects
    assert (objects[0]["seed"], objects[0]["steps"]) == (9, 2)


def test_inspect_and_list(darkroom):
    darkroom.make("a fig", "-o", "x.png")
    assert "a fig" in darkroom.run("inspect", "x.png").out
    assert "multiples of 2" in darkroom.run("inspect", "tiny").out
    assert "verified" in darkroom.run("inspect", "tiny", "--verify").out
    assert darkroom.run("inspect", "--verify", "x.png").code == 2
    model = darkroom.copy_model()
    manifest = json.loads((model / "model.json").read_text())
    manifest["merged"] = [{"file": "style.safetensors", "sha256": "0" * 64, "weight": 0.5}]
    (model / "model.json").write_text(json.dumps(manifest))
    assert "merged LoRA   style.safetensors:0.5, SHA-256 000" in darkroom.run("inspect", model).out
    assert "did you mean 'models'" in darkroom.run("list", "model").err


def test_lists(darkroom):
    samplers = darkroom.run("list", "samplers").out.splitlines()
    heun = next(line for line in samplers if line.startswith("heun "))
    assert heun.split()[:4] == ["heun", "2", "2", "no"]
    assert len({len(line) - len(line.lstrip()) for line in samplers[2::2]}) == 1  # aliases and sources below the summary
    assert "trailing" in darkroom.run("list", "schedules").out
    assert "tiny" in darkroom.run("list", "models").out


def test_lists_as_data(darkroom):
    rows = {what: [json.loads(line) for line in darkroom.run("list", what, "--json").out.splitlines()] for what in ("samplers", "schedules", "models")}
    ddim = next(row for row in rows["samplers"] if row["name"] == "ddim")
    assert ddim["aliases"] == ["DDIMScheduler"] and ddim["deterministic"] and "eta" in ddim["options"]
    assert {"karras", "beta", "flow"} <= {row["name"] for row in rows["schedules"]}
    assert "tiny" in {row["name"] for row in rows["models"]}


def test_help_and_version(darkroom):
    assert "--cfg-scale" in darkroom.run("--help").out
    assert darkroom.run("--version").out.startswith("darkroom ")
