"""Pictures by many settings through the real program, and what each cost."""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Case:
    """One picture to ask for. The seed tells it from others."""

    prompt: str
    seed: int


@dataclass(frozen=True)
class Setting:
    sampler: str
    schedule: str
    steps: int
    convention: str = "diffusers"
    tolerance: float | None = None  # of adaptive samplers
    end_step: int = 0  # 0: the last

    def options(self) -> dict:
        """As a line of a prompt file."""
        names = ("sampler", "schedule", "steps", "convention", "end_step")
        given = {name: getattr(self, name) for name in names}
        return given if self.tolerance is None else given | {"rtol": self.tolerance, "atol": self.tolerance}

    def name(self, case: Case) -> str:
        words = [self.sampler.replace("+", "p"), self.schedule, self.convention[0], f"{self.steps:04d}"]
        if self.tolerance is not None:
            words.append(f"{self.tolerance:.0e}")
        if self.end_step:
            words.append(f"to{self.end_step}")
        return "-".join([*words, str(case.seed)]).replace("_", "-")


@dataclass(frozen=True)
class Outcome:
    """What a setting made of the cases."""

    calls: float  # of the network for one picture, guided or not
    latents: np.ndarray  # (cases, channels, height, width)
    pictures: np.ndarray  # (cases, height, width, 3), 0 to 255


class Program:
    """darkroom, with its model. Pictures stay in the folder, so that a second run does not make them again."""

    def __init__(self, words: list[str], folder: Path):
        self.words, self.folder = words, folder

    def listed(self, what: str) -> list[dict]:
        """The rows of `darkroom list`."""
        answer = subprocess.run([self.words[0], "list", what, "--json"], stdout=subprocess.PIPE, check=True)
        return [json.loads(line) for line in answer.stdout.splitlines()]

    def accepts(self, setting: Setting) -> bool:
        words = [f"--{name.replace('_', '-')}={value}" for name, value in setting.options().items()]
        command = [*self.words, *words, "--seed=1", "--output", self.folder, "--dry-run", "a cat"]
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def draw(self, settings: Iterable[Setting], cases: list[Case]) -> dict[Setting, Outcome]:
        """All settings that the program accepts, in one run of it; the cases of a setting share their network calls."""
        settings = list(dict.fromkeys(settings))
        jobs = self.folder / "jobs.jsonl"
        lines = [
            {"id": setting.name(case), "prompt": case.prompt, "seed": case.seed, **setting.options()}
            for setting in settings
            for case in cases
        ]
        jobs.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        costs = self._run(["--prompt-file", jobs, "--batch-size", str(len(cases))])
        outcomes = {}
        for setting in settings:
            names = [setting.name(case) for case in cases]
            if any(name in costs for name in names):
                files = [self.folder / name for name in names]
                outcomes[setting] = Outcome(
                    float(np.mean([costs[name] for name in names])),
                    np.stack([np.load(f"{file}.npy") for file in files]),
                    np.stack([np.asarray(Image.open(f"{file}.png").convert("RGB")) for file in files]),
                )
        return outcomes

    def _run(self, words: list) -> dict[str, float]:
        """Network calls by name of picture, those of earlier runs among them."""
        results, messages = self.folder / "results.jsonl", self.folder / "messages.txt"
        words = [*self.words, *words, "--output", self.folder, "--name", "{id}.png", "--save-latents", "--json"]
        with results.open("ab") as kept, messages.open("wb") as errors:
            shown = None if sys.stderr.isatty() else errors
            status = subprocess.run(words, stdout=kept, stderr=shown).returncode
        if status not in (0, 1):  # 1: a setting that makes no sense was refused
            raise RuntimeError(f"{words[0]}: exit status {status}\n{messages.read_text()}")
        rows = [json.loads(line) for line in results.read_text().splitlines()]
        return {Path(row["path"]).stem: calls(row) for row in rows if row.get("path") and "evaluations" in row}


def calls(row: dict) -> float:
    """Guidance shows the network each picture twice in one call."""
    return row["evaluations"] / (2 if row["cfg_scale"] > 1 else 1)
