"""Compares the samplers on a model: draws a work-precision diagram and a contact sheet, and writes their figures.

The converged picture is that of 200 steps of Heun. Every sampler walks the same noise levels to it: 'karras' in
k-diffusion's convention, where all have the same end points; those that visit trained timesteps only walk 'trailing'.
Samplers that stop at the lowest noise level are compared with the converged walk there. The diagram's second panel has
the model's own sampler on every schedule, and the distance of the pictures."""

import argparse
import json
import tempfile
from pathlib import Path

import comparison
import figures
import plot
import sheet
from figures import Point
from program import Program

ROOT = Path(__file__).resolve().parents[2]
VISIBLE = 2.0  # root mean square of 255: 42 dB


def write_figures(path: Path, model: dict, orders: dict, tables: dict[str, dict[str, list[Point]]]) -> None:
    """One point a line, so that a change can be read."""
    head = {
        "denoiser": model["networks"][model["stages"][0]["denoiser"]]["sha256"],
        "cfg_scale": model["defaults"]["cfg_scale"],
        "cases": [[case.prompt, case.seed] for case in comparison.CASES],
        "orders": orders,
    }
    parts = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    for name, lines in tables.items():
        rows = [json.dumps(point.row()) for points in lines.values() for point in points]
        parts.append(f"{json.dumps(name)}: [\n  " + ",\n  ".join(rows) + "\n]")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def described(point: Point) -> str:
    setting = point.setting
    how = f"{setting.steps} steps" if setting.tolerance is None else f"a tolerance of {setting.tolerance:g}"
    return f"{point.calls:5.0f} calls, {how}"


def print_fewest(title: str, lines: dict[str, list[Point]]) -> None:
    print(f"{title}: fewest calls to {VISIBLE:g} of 255 from the converged picture")
    found = {name: figures.fewest(points, VISIBLE) for name, points in lines.items()}
    for name, point in sorted(found.items(), key=lambda item: item[1].calls if item[1] else 1e9):
        print(f"  {name:24}{described(point) if point else '  more than tried'}")


def compare(program: Program, model: dict, output: Path) -> None:
    samplers, orders = comparison.sampler_lines(program)
    own = model["defaults"]["sampler"]
    schedules = comparison.schedule_lines(program, own)
    plot.diagram(samplers, schedules, own, VISIBLE, output / "samplers.png")
    sheet.contact_sheet(comparison.sheet_blocks(program), output / "steps.png")
    write_figures(output / "figures.json", model, orders, {"samplers": samplers, "schedules": schedules})
    print_fewest("samplers", samplers)
    print_fewest(f"schedules with {own}", schedules)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/compare_samplers", description=__doc__)
    parser.add_argument("--program", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "emoji", help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="a folder (default: %(default)s)")
    parser.add_argument("--work", type=Path, help="keep the pictures there, so that a stopped run can go on")
    parser.add_argument("options", nargs="*", help="after --: options of darkroom, such as --threads 1")
    given = parser.parse_args()
    model = json.loads((given.model / "model.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        words = [given.program, "--model", str(given.model), "--precision", "fp32", *given.options]
        compare(Program(words, folder), model, given.output)


if __name__ == "__main__":
    main()
