"""Which pictures are compared with which."""

import figures
from figures import Point
from program import Case, Program, Setting

CASES = [
    Case("a cat on a pink background", 1),
    Case("a small owl on the right", 2),
    Case("two keys on a red background", 3),
    Case("a cat and a butterfly on a teal background", 4),
]
STEPS = (4, 6, 8, 10, 12, 15, 20, 30, 50)
SHEET_STEPS = (4, 8, 12, 20, 30)
TOLERANCES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3)
SHARED, TRAINED = "karras", "trailing"  # schedules: of most samplers, and of those that know no noise levels between
CONVERGED = Setting("heun", SHARED, 200, "k")
BEFORE_LAST = Setting("heun", SHARED, 200, "k", end_step=199)
COARSE = 0.2  # of latents of about unit variance: beyond, a distance says nothing of an order


def comparable(row: dict) -> bool:
    """Samplers for models that were distilled for them draw no converged picture on others."""
    return "original-steps" not in row["options"]


def adaptive(row: dict) -> bool:
    return "rtol" in row["options"]


def walks(row: dict, program: Program, steps: tuple[int, ...]) -> list[Setting]:
    """Of a sampler, on the schedule that it shares with others if it can."""
    name = row["name"]
    if adaptive(row):
        return [Setting(name, SHARED, 2, "k", tolerance) for tolerance in TOLERANCES]
    schedule = SHARED if program.accepts(Setting(name, SHARED, 10, "k")) else TRAINED
    return [Setting(name, schedule, count, "k") for count in steps]


def sampler_lines(program: Program) -> tuple[dict[str, list[Point]], dict[str, float]]:
    """The points of each deterministic sampler, and its order."""
    rows = [row for row in program.listed("samplers") if row["deterministic"] and comparable(row)]
    plans = {row["name"]: walks(row, program, STEPS) for row in rows}
    drawn = program.draw([CONVERGED, BEFORE_LAST, *(setting for plan in plans.values() for setting in plan)], CASES)
    ends = [drawn[CONVERGED].latents, drawn[BEFORE_LAST].latents]
    lines = {}
    for name, plan in plans.items():
        outcomes = {setting: drawn[setting] for setting in plan if setting in drawn}
        label = name + (f" ({TRAINED})" if plan[0].schedule == TRAINED else "")
        measured = [figures.measure(outcomes, drawn[CONVERGED], end) for end in ends]
        lines[label] = min(measured, key=lambda points: points[-1].latents)
    floor = min(point.latents for points in lines.values() for point in points)
    orders = {name: figures.order(points, 3 * floor, COARSE) for name, points in lines.items()}
    return lines, {name: round(value, 2) for name, value in orders.items() if value is not None}


def schedule_lines(program: Program, sampler: str) -> dict[str, list[Point]]:
    """The points of a sampler on every schedule, as they are without further options."""
    names = [row["name"] for row in program.listed("schedules") if program.accepts(Setting(sampler, row["name"], 10))]
    drawn = program.draw([CONVERGED, *(Setting(sampler, name, count) for name in names for count in STEPS[:-1])], CASES)
    converged = drawn.pop(CONVERGED)
    points = figures.measure(drawn, converged, converged.latents)
    return {name: [point for point in points if point.setting.schedule == name] for name in names}


def sheet_blocks(program: Program) -> dict[str, dict]:
    """The last case by the deterministic samplers, and by those that add noise: {steps: picture} by name."""
    rows = [row for row in program.listed("samplers") if comparable(row) and not adaptive(row)]
    plans = {row["name"]: walks(row, program, SHEET_STEPS) for row in rows}
    drawn = program.draw([setting for plan in plans.values() for setting in plan], CASES[-1:])

    def block(deterministic: bool) -> dict:
        names = [row["name"] for row in rows if row["deterministic"] is deterministic]
        return {name: {s.steps: drawn[s].pictures[0] for s in plans[name] if s in drawn} for name in names}

    return {"without noise": block(True), "adding noise": block(False)}
