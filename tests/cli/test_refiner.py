"""--refiner: another model makes the last steps."""

import json

import pytest

from weights import lora, safetensors, vectors

WORDS = ("a cat", "-s", "1", "--steps", "4", "-o", "x.png")


def record(darkroom, name="x.png"):
    return json.loads(darkroom.run("inspect", name, "--json").out)


def test_it_makes_the_last_steps(darkroom, other_model):
    pictures = {}
    for name, words in {"alone": (), "half": ("--refiner", other_model, "--refiner-start", "0.5"),
                        "most": ("--refiner", other_model, "--refiner-start", "0.25")}.items():
        result = darkroom.make(*WORDS, *words, "-o", f"{name}.png", "--trace-latents", "t", "--json")
        assert result.code == 0, result.err
        assert result.objects[0]["evaluations"] == 8
        pictures[name] = (darkroom.folder / f"{name}.png").read_bytes()
        steps = [(darkroom.folder / "t" / f"{name}-step-{step:04}.npy").read_bytes() for step in (1, 2, 3, 4)]
        alone = steps if name == "alone" else alone
        shared = {"alone": 4, "half": 2, "most": 1}[name]
        assert [x == y for x, y in zip(steps, alone, strict=True)] == [step < shared for step in range(4)]
    assert len(set(pictures.values())) == 3
    assert (darkroom.folder / "t/half-refiner-prompt-context.npy").exists()


def test_it_is_recorded_and_compared(darkroom, other_model):
    words = (*WORDS, "--refiner", other_model, "--refiner-start", "0.5")
    assert darkroom.make(*words).code == 0
    shown = darkroom.run("inspect", "x.png").out
    assert "Refiner: tiny, Refiner switch at: 0.5" in shown
    assert darkroom.make(*words, "--json").objects[0]["skipped"]
    assert "refiner-start: 0.5 there, 0.7 asked for" in darkroom.make(*words, "--refiner-start", "0.7").err
    for refiner in ((), ("--refiner", "tiny")):
        again = darkroom.make(*WORDS, *refiner, *(("--refiner-start", "0.5") if refiner else ()))
        assert again.code == 4, again.err
    manifest = json.loads((other_model / "model.json").read_text())
    manifest["stages"][0]["steps_offset"] = 0
    (other_model / "model.json").write_text(json.dumps(manifest))
    assert "another model, or another version of it" in darkroom.make(*words).err


def test_it_reads_embeddings_but_no_loras(darkroom, other_model):
    darkroom.write("style.safetensors", safetensors({"emb_params": vectors()}))
    darkroom.write("light.safetensors", lora())
    told = {}
    for name, words in {"plain": (), "style": ("--embedding", "style.safetensors"), "lora": ("--lora", "light.safetensors")}.items():
        result = darkroom.make("a style", *WORDS[1:], "--refiner", other_model, "-o", f"{name}.png", "--trace-latents", "t", *words)
        assert result.code == 0, result.err
        told[name] = [(darkroom.folder / f"t/{name}-{whose}prompt-context.npy").read_bytes() for whose in ("", "refiner-")]
    assert told["plain"][0] == told["plain"][1] == told["lora"][1] != told["lora"][0]
    assert told["style"][0] == told["style"][1] != told["plain"][0]


def test_a_line_of_a_prompt_file_says_when(darkroom, other_model):
    darkroom.write("p.jsonl", "\n".join(json.dumps(line) for line in (
        {"prompt": "a", "refiner_start": 0.5}, {"prompt": "a"}, {"prompt": "a", "refiner_start": 1})))
    result = darkroom.make("-f", "p.jsonl", "-s", "1", "--steps", "4", "--refiner", other_model, "--json")
    assert result.code == 1
    assert [o.get("refiner_start") for o in result.objects if o.get("path")] == [0.5, 0.8]
    assert "p.jsonl:3: --refiner-start leaves none of the 4 steps to the refiner" in result.err


@pytest.mark.parametrize("words, code, message", [
    (["--refiner", "tiny-v"], 2, "'tiny-v' does not fit 'tiny': its latents are others"),
    (["--refiner", "tini"], 3, "unknown model 'tini'; did you mean 'tiny'?"),
    (["--refiner-start", "0.5"], 2, "--refiner-start has no effect without --refiner"),
    (["--refiner", "tiny", "--refiner-start", "0"], 2, "leaves none of the 4 steps to the model"),
    (["--refiner", "tiny", "--end-step", "2"], 2, "--start-step and --end-step are for one model"),
    (["--refiner", "tiny", "--autoguidance", "tiny"], 2, "--autoguidance has one weaker model"),
    (["--refiner", "tiny", "--save-state", "x.safetensors"], 2, "are for one model, not for a --refiner"),
    (["--refiner", "tiny", "--sampler", "dpm_adaptive"], 2, "leaves none of the 1 steps to the refiner"),
    (["--refiner", "tiny", "--aesthetic-score", "7"], 2, "--aesthetic-score has no effect on this model"),
])
def test_refused(darkroom, words, code, message):
    result = darkroom.make(*WORDS, *words)
    assert result.code == code
    assert message in result.err
    assert darkroom.files() == []
