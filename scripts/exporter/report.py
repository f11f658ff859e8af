"""Figures beside their bounds."""

import sys

import numpy as np

# Largest |difference| over max(1, largest |value|), as fp32 on a CPU allows; of pixels the levels, and the share that
# differs.
TOLD, LATENTS, LEVELS, SHARE = 1e-5, 1e-4, 1, 0.005


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """inf where the shapes are others."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max()))


class Report:
    """Lines of a table, and whether each is within its bound."""

    def __init__(self, out=None):
        self.out, self.failed = out or sys.stdout, []

    def line(self, what: str, value: float, good: bool, bound: str) -> None:
        print(f"{what:32} {value:<10.3g} {bound:24} {'' if good else 'FAILS'}".rstrip(), file=self.out, flush=True)
        if not good:
            self.failed.append(what)

    def note(self, what: str, text: str) -> None:
        print(f"{what:32} {text}", file=self.out, flush=True)

    def at_most(self, what: str, value: float, bound: float) -> None:
        self.line(what, value, value <= bound, f"at most {bound:g}")

    def at_least(self, what: str, value: float, bound: float) -> None:
        self.line(what, value, value >= bound, f"at least {bound:g}")

    def within(self, what: str, values: list[float], bounds: tuple[float, float]) -> None:
        outside = [value for value in values if not bounds[0] <= value <= bounds[1]]  # and NaN
        worst = max(outside or values, key=lambda value: max(value / bounds[1], bounds[0] / max(value, 1e-9)))
        self.line(what, worst, not outside, f"{bounds[0]:g} to {bounds[1]:g}")
