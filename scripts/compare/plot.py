"""The work-precision diagram."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter  # noqa: E402

from figures import Point  # noqa: E402

TICKS = (4, 6, 8, 10, 15, 20, 30, 50, 100, 200)
MARKERS = "os^Dv<>pXPd*h"


def diagram(samplers: dict[str, list[Point]], schedules: dict[str, list[Point]], own: str, visible: float, path: Path) -> None:
    """Samplers by the distance of their latents, schedules of the sampler `own` by that of the pictures."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 6.6), layout="constrained")
    _draw(left, samplers, lambda point: point.latents)
    left.set(title="deterministic samplers, on karras unless said otherwise", ylabel="distance of the latents, RMS")
    _draw(right, schedules, lambda point: point.pixels)
    right.set(title=f"{own} on every schedule", ylabel="distance of the picture, RMS of 255")
    right.axhline(visible, color="0.4", linestyle="--", linewidth=1)
    right.text(1, visible, "hardly visible below ", transform=right.get_yaxis_transform(), ha="right", va="bottom", fontsize=8)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _draw(axis, lines: dict[str, list[Point]], value) -> None:
    colours = plt.get_cmap("tab20").colors
    colours = colours[::2] + colours[1::2]  # dark ones first
    for i, (name, points) in enumerate(lines.items()):
        adaptive = any(point.setting.tolerance is not None for point in points)
        axis.loglog(
            [point.calls for point in points], [value(point) for point in points], label=name, linewidth=1.2, markersize=4.5,
            linestyle=":" if adaptive else "-", marker=MARKERS[i % len(MARKERS)], color=colours[i % len(colours)],
        )  # fmt: skip
    axis.set(xlabel="network calls", xticks=[tick for tick in TICKS if tick <= max(p.calls for line in lines.values() for p in line)])
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.grid(True, which="both", linewidth=0.3)
    axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=5, frameon=False)
