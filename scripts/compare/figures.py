"""Distances from the converged picture, and what follows from them."""

from dataclasses import asdict, dataclass

import numpy as np

from program import Outcome, Setting


@dataclass(frozen=True)
class Point:
    """What a setting costs, and how far from the converged picture it ends."""

    setting: Setting
    calls: float
    latents: float  # root mean square, of values of about unit variance
    pixels: float  # root mean square, of 255

    def row(self) -> dict:
        given = {name: value for name, value in asdict(self.setting).items() if value}
        latents, pixels = float(f"{self.latents:.3g}"), round(self.pixels, 2)
        return given | {"calls": round(self.calls, 1), "latents": latents, "pixels": pixels}


def distance(some: np.ndarray, others: np.ndarray) -> float:
    """The geometric mean over cases of the root mean square difference."""
    difference = some.astype(np.float64) - others
    squares = np.square(difference).mean(axis=tuple(range(1, difference.ndim)))
    return float(np.exp(np.log(np.maximum(squares, 1e-30)).mean() / 2))


def measure(outcomes: dict[Setting, Outcome], converged: Outcome, latents: np.ndarray) -> list[Point]:
    """By calls. `latents` are those of the converged picture, or of the walk to it."""
    points = []
    for setting, outcome in outcomes.items():
        pixels = distance(outcome.pictures, converged.pictures)
        points.append(Point(setting, outcome.calls, distance(outcome.latents, latents), pixels))
    return sorted(points, key=lambda point: point.calls)


def order(points: list[Point], least: float, most: float) -> float | None:
    """How fast the distance falls with more calls: the slope, log to log, of the points between the two distances."""
    clear = [point for point in points if least < point.latents < most]
    if len(clear) < 3:
        return None
    x, y = np.log([point.calls for point in clear]), np.log([point.latents for point in clear])
    return float(-np.polyfit(x, y, 1)[0])


def fewest(points: list[Point], pixels: float) -> Point | None:
    """The cheapest point that is as close as that, and after which all are."""
    found = None
    for point in sorted(points, key=lambda point: -point.calls):
        if point.pixels > pixels:
            break
        found = point
    return found
