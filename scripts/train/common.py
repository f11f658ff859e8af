"""What every stage shares: where files go, atomic saving, JSON-lines logs, progress and averaging of weights."""

import copy
import json
import math
import os
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_FOLDER = ROOT / ".deps" / "train"


def save_atomically(value, path: Path) -> None:
    """torch.save through a temporary file, so that a reader or a resumed run never meets half a file."""
    temporary = path.with_name(path.name + ".tmp")
    torch.save(value, temporary)
    os.replace(temporary, path)


def load(path: Path):
    return torch.load(path, map_location="cpu", weights_only=True)


class Log:
    """Appends one JSON object per line to FOLDER/STAGE.jsonl and prints it."""

    def __init__(self, folder: Path, stage: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{stage}.jsonl"
        self.stage = stage

    def __call__(self, **figures) -> None:
        rounded = {key: round(value, 5) if isinstance(value, float) else value for key, value in figures.items()}
        line = json.dumps({"stage": self.stage, "time": time.strftime("%H:%M:%S"), **rounded})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)


class Budget:
    """How far a stage has come: by steps, or by wall-clock minutes where they are given. Minutes add up over resumed runs."""

    def __init__(self, steps: int, minutes: float | None):
        self.steps, self.minutes = steps, minutes
        self.step, self.before, self.started = 0, 0.0, time.monotonic()

    @property
    def elapsed(self) -> float:
        return self.before + time.monotonic() - self.started

    @property
    def fraction(self) -> float:
        done = self.elapsed / 60 / self.minutes if self.minutes else self.step / self.steps
        return min(1.0, done)

    def state(self) -> dict:
        return {"step": self.step, "elapsed": self.elapsed}

    def restore(self, state: dict) -> None:
        self.step, self.before, self.started = state["step"], state["elapsed"], time.monotonic()


def learning_rate(fraction: float, step: int, peak: float, warmup: int = 100, hold: float = 0.4) -> float:
    """Linear warm-up, constant up to `hold` of the budget, then a cosine down to 1 % of the peak."""
    decay = max(0.0, (fraction - hold) / (1 - hold))
    return peak * min(1.0, (step + 1) / warmup) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * decay)))


class Average:
    """Exponential moving average of a module's weights; the horizon grows with the step, so early averages are not stale."""

    def __init__(self, module: torch.nn.Module, decay: float):
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: torch.nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for mean, value in zip(self.module.parameters(), module.parameters()):
            mean.lerp_(value, 1 - decay)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
