"""The arithmetic of scripts/compare_samplers: on a stand-in of known distances from the limit, and on darkroom."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "compare"))
import comparison  # noqa: E402
import figures  # noqa: E402
from program import Program, Setting, calls  # noqa: E402

BINARY = Path(os.environ.get("DARKROOM_BINARY", ROOT / "build" / "darkroom")).resolve()

# Every sampler ends at the limit plus steps^-order, with 200 steps at the limit itself; "stops" ends 0.5 away, where
# the walk to the limit is a step earlier.
STAND_IN = f"""#!{sys.executable}
import argparse, json, sys
import numpy as np
from PIL import Image
ORDERS = {{"euler": 1, "heun": 2, "stops": 3, "trained": 1, "distilled": 1, "noisy": 1}}
if sys.argv[1] == "list":
    for name in ORDERS:
        print(json.dumps({{"name": name, "deterministic": name != "noisy", "calls_per_step": 1,
                           "options": ["original-steps"] if name == "distilled" else []}}))
    sys.exit()
parser = argparse.ArgumentParser()
for name in ("--prompt-file", "--output", "--sampler", "--schedule"):
    parser.add_argument(name)
parser.add_argument("--dry-run", action="store_true")
given, _ = parser.parse_known_args()
if given.dry_run:
    sys.exit(2 if given.sampler == "trained" and given.schedule != "trailing" else 0)
for line in open(given.prompt_file):
    job = json.loads(line)
    if job["sampler"] == "euler" and job["steps"] == 4:
        print(json.dumps({{"error": "refused", "line": 1}}))
        continue
    path = f"{{given.output}}/{{job['id']}}.png"
    before = job["sampler"] == "stops" or job["end_step"] > 0
    error = 0 if job["steps"] == 200 else job["steps"] ** -float(ORDERS[job["sampler"]])
    value = job["seed"] + 0.5 * before + error
    np.save(path.replace(".png", ".npy"), np.full((1, 2, 2), value))
    Image.new("RGB", (2, 2), (job["steps"],) * 3).save(path)
    print(json.dumps({{"path": path, "evaluations": 2 * job["steps"], "cfg_scale": 2.5}}))
sys.exit(1)
"""


@pytest.fixture(scope="module")
def lines(tmp_path_factory) -> tuple[dict, dict]:
    folder = tmp_path_factory.mktemp("stand-in")
    file = folder / "darkroom"
    file.write_text(STAND_IN)
    file.chmod(0o755)
    return comparison.sampler_lines(Program([str(file)], folder))


def test_noise_and_distillation_have_no_line(lines):
    assert set(lines[0]) == {"euler", "heun", "stops", "trained (trailing)"}


def test_orders_are_those_of_the_samplers(lines):
    assert lines[1] == {"euler": 1, "heun": 2, "stops": 3, "trained (trailing)": 1}


def test_a_sampler_that_stops_early_is_compared_with_the_walk_there(lines):
    assert lines[0]["stops"][0].latents == pytest.approx(4.0**-3)


def test_what_the_program_refuses_is_left_out(lines):
    assert [point.setting.steps for point in lines[0]["euler"]] == list(comparison.STEPS[1:])


def test_calls_are_those_the_program_reports(lines):
    assert [point.calls for point in lines[0]["heun"]] == list(comparison.STEPS)
    assert calls({"evaluations": 30, "cfg_scale": 1.0}) == 30
    assert calls({"evaluations": 30, "cfg_scale": 1.5}) == 15


def test_distance_is_a_geometric_mean_over_cases():
    # 3 and 4 of two values: root mean square 5 / sqrt(2); 2 in both of the other case.
    some = np.array([[3.0, 4.0], [2.0, 2.0]])
    assert figures.distance(some, np.zeros((2, 2))) == pytest.approx(np.sqrt(5 / np.sqrt(2) * 2))


def test_bytes_do_not_wrap_around():
    assert figures.distance(np.array([[0]], np.uint8), np.array([[20]], np.uint8)) == pytest.approx(20)


def point(calls: float, pixels: float) -> figures.Point:
    return figures.Point(Setting("euler", "karras", int(calls)), calls, 1.0, pixels)


def test_fewest_calls_must_stay_close():
    wavering = [point(4, 1.9), point(8, 2.1), point(10, 2.0), point(20, 0.5)]
    assert figures.fewest(wavering, 2.0).calls == 10
    assert figures.fewest(wavering, 0.1) is None


@pytest.mark.skipif(not BINARY.exists(), reason="no program is built")
def test_the_program_itself(tmp_path, monkeypatch):
    """Random weights, but smooth ones: twice the calls halve Euler's distance; Heun is nearer for as many calls."""
    monkeypatch.setattr(comparison, "STEPS", (30, 40, 80))
    monkeypatch.setattr(comparison, "CASES", comparison.CASES[:1])
    words = [str(BINARY), "--model", str(ROOT / "tests" / "models" / "tiny-v"), "--cfg-scale", "1.5", "--threads", "1"]
    program = Program([*words, "--width", "16", "--height", "16"], tmp_path)
    rows = {row["name"]: row for row in program.listed("samplers")}
    monkeypatch.setattr(program, "listed", lambda what: [rows["euler"], rows["heun"]])
    lines, orders = comparison.sampler_lines(program)
    assert [p.calls for p in lines["euler"]] == [30, 40, 80]
    assert [p.calls for p in lines["heun"]] == [59, 79, 159]
    assert orders["euler"] == pytest.approx(1, abs=0.1)
    assert lines["heun"][1].latents < lines["euler"][2].latents
