"""The work-precision diagram."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter  # noqa: E402

from figures import Point  # noqa: E402

TICKS = (4, 6, 8, 10, 15, 20, 30, 50, 100, 200)
MARKERS = "os^Dv<>pXPd*h"


Lines = dict[str, list[Point]]


def diagram(samplers: Lines, schedules: Lines, own: str, visible: float, path: Path) -> None:
    """Samplers by the distance of their latents, schedules of the sampler `own` by that of the pictures."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 6.6), layout="constrained")
    _draw(left, samplers, lambda point: point.latents)
    left.set(title="deterministic samplers, on karras unless said otherwise", ylabel="distance of the latents, RMS")
    _draw(right, schedules, lambda point: point.pixels)
    right.set(title=f"{own} on every schedule", ylabel="distance of the picture, RMS of 255")
    right.axhline(visible, color="0.4", linestyle="--", linewidth=1)
    where = {"transform": right.get_yaxis_transform(), "ha": "right", "va": "bottom"}
    right.text(1, visible, "hardly visible below ", fontsize=8, **where)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _draw(axis, lines: Lines, value) -> None:
    colours = plt.get_cmap("tab20").colors
    colours = colours[::2] + colours[1::2]  # dark ones first
    for i, (name, points) in enumerate(lines.items()):
        adaptive = any(point.setting.tolerance is not None for point in points)
        x, y = [point.calls for point in points], [value(point) for point in points]
        look = {"marker": MARKERS[i % len(MARKERS)], "color": colours[i % len(colours)], "linewidth": 1.2}
        axis.loglog(x, y, label=name, markersize=4.5, linestyle=":" if adaptive else "-", **look)
    most = max(point.calls for points in lines.values() for point in points)
    axis.set(xlabel="network calls", xticks=[tick for tick in TICKS if tick <= most])
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.grid(True, which="both", linewidth=0.3)
    axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=5, frameon=False)
