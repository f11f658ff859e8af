"""The training loop of scripts/train on a module of a few weights: what is stopped goes on as if it had not been."""

import os
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "train"))
import common  # noqa: E402

RECIPE = common.Recipe(steps=40, batch=8, peak=1e-2, warmup=5, average=0.9, save_every=10)
STOP_AT = 17


class StopsAfter(common.Options):
    """Options whose time is over after STOP_AT steps."""

    asked = 0

    def seconds_left(self):
        object.__setattr__(self, "asked", self.asked + 1)
        return 0 if self.asked > STOP_AT else 1


def start(options: common.Options) -> common.Run:
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    return common.Run(options, "toy", model, RECIPE, seed=3)


def train(run: common.Run, after_step=lambda run: None) -> common.Run:
    for _ in run:
        features = torch.from_numpy(run.random.standard_normal((RECIPE.batch, 4), "float32"))
        noise = torch.randn(RECIPE.batch, 1, generator=run.generator)
        run.learn((run.model(features) - features.prod(1, keepdim=True) - 0.1 * noise).square().mean())
        after_step(run)
    return run


def options(folder: Path, kind=common.Options) -> common.Options:
    folder.mkdir(exist_ok=True)
    return kind(folder, torch.device("cpu"))


def weights(run: common.Run) -> list[torch.Tensor]:
    return [value.clone() for module in (run.model, run.result) for value in module.parameters()]


def round_as_stored(run: common.Run) -> None:
    """What saving and loading may change, at the step where the other run was stopped."""
    if run.step == STOP_AT:
        for state in run.optimizer.state.values():
            for name in ("exp_avg", "exp_avg_sq"):
                state[name].copy_(state[name].bfloat16())
        for value in run.result.parameters():
            value.copy_(value.half())


def test_a_stopped_training_goes_on_as_if_it_had_not_been_stopped(tmp_path):
    whole = weights(train(start(options(tmp_path / "whole")), round_as_stored))
    with pytest.raises(common.OutOfTime):
        train(start(options(tmp_path / "parts", StopsAfter)))
    rest = start(options(tmp_path / "parts"))
    assert rest.step == STOP_AT
    resumed = weights(train(rest))
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))


def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path):
    whole = start(options(tmp_path / "whole"))
    saved = {}
    train(whole, lambda run: saved.update({run.step: weights(run)}))

    def kill(run):
        if run.step == STOP_AT:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(start(options(tmp_path / "killed")), kill)
    again = start(options(tmp_path / "killed"))
    assert again.step == 10
    assert all(torch.equal(a, b) for a, b in zip(again.model.parameters(), saved[10]))


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A saved state of several parts."""
    monkeypatch.setattr(common, "PART_BYTES", 1000)
    checkpoint = common.Checkpoint(tmp_path, "toy")
    checkpoint.save({"weights": torch.arange(1000.0)})
    return checkpoint


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("toy.state.*.[0-9]*"))


def test_a_state_comes_in_parts_and_back(checkpoint, tmp_path):
    assert len(parts(tmp_path)) > 4 and all(part.stat().st_size <= 1000 for part in parts(tmp_path))
    assert torch.equal(checkpoint.load()["weights"], torch.arange(1000.0))


def test_a_damaged_part_is_refused(checkpoint, tmp_path):
    part = parts(tmp_path)[1]
    part.write_bytes(part.read_bytes()[:-1] + b"!")
    with pytest.raises(RuntimeError, match="toy.state.json"):
        checkpoint.load()


def test_an_interrupted_save_leaves_the_state_before_it(checkpoint, tmp_path, monkeypatch):
    replace = os.replace

    def interrupted(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save({"weights": torch.zeros(1000)})
    monkeypatch.setattr(os, "replace", replace)
    assert torch.equal(checkpoint.load()["weights"], torch.arange(1000.0))
    checkpoint.save({"weights": torch.ones(10)})
    assert torch.equal(checkpoint.load()["weights"], torch.ones(10))
    assert len({part.name.split(".")[2] for part in parts(tmp_path)}) == 1, "the interrupted save's parts are left"
    checkpoint.remove()
    assert not list(tmp_path.iterdir())
