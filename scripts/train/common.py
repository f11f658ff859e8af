"""What every stage shares: where files go, checkpoints, JSON-lines logs, the training loop and the averaging of weights."""

import copy
import hashlib
import io
import json
import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_FOLDER = ROOT / ".deps" / "train"
PART_BYTES = 15 * 2**20


@dataclass(frozen=True)
class Options:
    """How stages are run. `minutes` ends this call early, to be gone on with later; `steps` replaces a stage's own number."""

    folder: Path
    device: torch.device
    minutes: float | None = None
    steps: int | None = None
    started: float = field(default_factory=time.monotonic)

    def seconds_left(self) -> float | None:
        """None: as many as it takes."""
        return None if self.minutes is None else max(0.0, self.started + self.minutes * 60 - time.monotonic())


class OutOfTime(Exception):
    """A stage stopped because the call's minutes are over; its state is saved."""


def save_atomically(value, path: Path) -> None:
    """torch.save through a temporary file, so that a reader or a resumed run never meets half a file."""
    temporary = path.with_name(path.name + ".tmp")
    torch.save(value, temporary)
    os.replace(temporary, path)


def load(path: Path):
    return torch.load(path, map_location="cpu", weights_only=True)


class Checkpoint:
    """The state of a stage in parts of at most PART_BYTES: FOLDER/STAGE.state.json names them and holds their hash.

    The index is replaced last, so an interrupted save leaves the state before it."""

    def __init__(self, folder: Path, stage: str):
        self.folder, self.index = folder, folder / f"{stage}.state.json"
        self.stage = stage

    def save(self, value) -> None:
        buffer = io.BytesIO()
        torch.save(value, buffer)
        data = buffer.getvalue()
        digest = hashlib.sha256(data).hexdigest()
        names = [f"{self.stage}.state.{digest[:8]}.{at}" for at in range(-(-len(data) // PART_BYTES))]
        for at, name in enumerate(names):
            (self.folder / name).write_bytes(data[at * PART_BYTES : (at + 1) * PART_BYTES])
        temporary = self.index.with_suffix(".tmp")
        temporary.write_text(json.dumps({"sha256": digest, "parts": names}) + "\n", encoding="utf-8")
        os.replace(temporary, self.index)
        self._remove(keep=names)

    def load(self):
        """None when there is no state."""
        if not self.index.exists():
            return None
        index = json.loads(self.index.read_text())
        data = b"".join((self.folder / name).read_bytes() for name in index["parts"])
        if hashlib.sha256(data).hexdigest() != index["sha256"]:
            raise RuntimeError(f"{self.index}: the parts do not belong together; delete it to begin the stage anew")
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)

    def remove(self) -> None:
        self.index.unlink(missing_ok=True)
        self._remove(keep=[])

    def _remove(self, keep: list[str]) -> None:
        """The other parts, among them those that an interrupted save left."""
        for path in self.folder.glob(f"{self.stage}.state.*.[0-9]*"):
            if path.name not in keep:
                path.unlink()


class Log:
    """Appends one JSON object per line to FOLDER/STAGE.jsonl and prints it."""

    def __init__(self, folder: Path, stage: str):
        self.path = folder / f"{stage}.jsonl"
        self.stage = stage

    def __call__(self, **figures) -> None:
        rounded = {key: round(value, 5) if isinstance(value, float) else value for key, value in figures.items()}
        line = json.dumps({"stage": self.stage, "time": time.strftime("%H:%M:%S"), **rounded})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)


class Average:
    """Exponential moving average of a module's weights; the horizon grows with the step, so early averages are not stale."""

    def __init__(self, module: torch.nn.Module, decay: float):
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: torch.nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), 1 - decay)


@dataclass(frozen=True)
class Recipe:
    """Length and learning rate of a stage: linear warm-up, constant for `hold` of the steps, then a cosine down to 1 %."""

    steps: int
    batch: int
    peak: float
    hold: float = 0.4
    warmup: int = 100
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    average: float | None = None
    save_every: int = 250

    def learning_rate(self, step: int) -> float:
        decay = max(0.0, (step / self.steps - self.hold) / (1 - self.hold))
        return self.peak * min(1.0, (step + 1) / self.warmup) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * decay)))


class Run:
    """The training loop of a stage: `for step in run: ... run.learn(loss)`.

    It goes on from the last checkpoint, with the generators as they were, so that an interrupted training is the same as an
    uninterrupted one but for the rounding of the stored moments (bfloat16) and average (float16). All that is random comes from
    `random` and `generator`, on the CPU whatever the device. Raises OutOfTime when the call's minutes are over."""

    def __init__(self, options: Options, stage: str, model: torch.nn.Module, recipe: Recipe, seed: int):
        self.model, self.options, self.stage = model.to(options.device), options, stage
        self.recipe = Recipe(**{**recipe.__dict__, "steps": options.steps or recipe.steps})
        self.parameters = [value for value in model.parameters() if value.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=recipe.peak, weight_decay=recipe.weight_decay, betas=recipe.betas
        )
        self.average = Average(model, recipe.average) if recipe.average else None
        self.log, self.checkpoint = Log(options.folder, stage), Checkpoint(options.folder, stage)
        self.random, self.generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        self.step, self.before, self.started, self.losses = 0, 0.0, time.monotonic(), []
        self._resume()
        count = sum(value.numel() for value in model.parameters())
        self.log(parameters=count, device=str(options.device), steps=self.recipe.steps, step=self.step)

    @property
    def result(self) -> torch.nn.Module:
        """The averaged model where there is one."""
        return self.average.module if self.average else self.model

    @property
    def seconds(self) -> float:
        """Of training, all calls together."""
        return self.before + time.monotonic() - self.started

    def every(self, steps: int) -> bool:
        return self.step % steps == 0

    def __iter__(self):
        while self.step < self.recipe.steps:
            if self.options.seconds_left() == 0:
                self.save()
                raise OutOfTime
            self.model.train()
            yield self.step
            if self.every(100):
                self.log(step=self.step, seconds=self.seconds, loss=sum(self.losses) / len(self.losses))
                self.losses = []
            if self.every(self.recipe.save_every):
                self.save()

    def learn(self, loss: torch.Tensor, mask=None) -> None:
        """One step down the gradient; `mask` may edit the gradients first."""
        self.optimizer.zero_grad()
        loss.backward()
        if mask:
            mask()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate(self.step)
        self.optimizer.step()
        if self.average:
            self.average.update(self.model, self.step)
        self.step += 1
        self.losses.append(loss.detach().float().item())

    def save(self) -> None:
        moments = {
            index: {key: value.bfloat16() if value.ndim else value for key, value in state.items()}
            for index, state in self.optimizer.state_dict()["state"].items()
        }
        self.checkpoint.save({
            "model": self.model.state_dict(), "moments": moments, "step": self.step, "seconds": self.seconds,
            "average": [value.half() for value in self.average.module.parameters()] if self.average else None,
            "numpy": json.dumps(self.random.bit_generator.state), "torch": self.generator.get_state(),
        })  # fmt: skip

    def _resume(self) -> None:
        state = self.checkpoint.load()
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        settings = self.optimizer.state_dict()
        moments = {
            index: {key: value.float() for key, value in some.items()} for index, some in state["moments"].items()
        }
        self.optimizer.load_state_dict({**settings, "state": moments})
        if self.average:
            for mean, value in zip(self.average.module.parameters(), state["average"]):
                mean.copy_(value)
            for mean, value in zip(self.average.module.buffers(), self.model.buffers()):
                mean.copy_(value)
        self.step, self.before = state["step"], state["seconds"]
        self.random.bit_generator.state = json.loads(state["numpy"])
        self.generator.set_state(state["torch"])


def autocast(device: torch.device):
    """bf16 arithmetic, which halves the time on CPUs that have it and on GPUs."""
    return torch.autocast(device.type, torch.bfloat16)
