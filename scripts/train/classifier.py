"""The judge: a small CNN that names object, background colour, place and count of a picture.

It is trained on rendered scenes only, never on a generated picture. Its weights are kept at half precision."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import common
import scenes

RECIPE = common.Recipe(steps=4000, batch=32, peak=2e-3, weight_decay=0.02, betas=(0.9, 0.999), save_every=500)
SHIPPED = common.ROOT / "models" / "judge"
ANSWERS = ("object", "left", "right", "colour", "place", "count")


class Classifier(nn.Module):
    """SIDE x SIDE pictures in [-1, 1] -> logits in the order of ANSWERS; the object as a whole and in either half share one
    layer. About 0.3 M parameters."""

    def __init__(self, widths=(16, 32, 64, 96, 128)):
        super().__init__()
        layers, before = [], 3
        for width in widths:
            layers += [nn.Conv2d(before, width, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            if width > widths[0]:
                layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.body = nn.Sequential(*layers)
        cells = (scenes.SIDE >> len(widths)) ** 2
        self.object = nn.Linear(before * 2, len(scenes.objects()))
        self.colour = nn.Linear(before * 2, len(scenes.COLOUR_NAMES))
        self.where = nn.Conv2d(before, 8, 1)
        self.place = nn.Linear(8 * cells, len(scenes.PLACE_NAMES))
        self.count = nn.Linear(8 * cells, 2)

    def forward(self, pictures: torch.Tensor):
        features = self.body(pictures)
        left, right = features.chunk(2, 3)
        whole, left, right = (torch.cat([f.mean((2, 3)), f.amax((2, 3))], 1) for f in (features, left, right))
        where = self.where(features).flatten(1)
        return (
            self.object(whole), self.object(left), self.object(right), self.colour(whole), self.place(where), self.count(where)
        )  # fmt: skip


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """Bytes, N x H x W x 3 -> floats in [-1, 1], N x 3 x H x W."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_bytes(pictures: torch.Tensor) -> np.ndarray:
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def truths(rows: list[scenes.Scene]) -> dict[str, torch.Tensor]:
    """What the judge should answer, by the names of ANSWERS; -100 where the question has no answer (torch's ignore_index)."""
    none = -100
    table = [
        (s.object, none, none, s.colour, s.place, 0) if s.count == 1 else (none, s.object, s.other, s.colour, none, 1)
        for s in rows
    ]
    return {name: torch.tensor(column) for name, column in zip(ANSWERS, zip(*table))}


def _disturb(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Blur, noise and contrast, so that the judge looks at shapes rather than at single pixels."""

    def amount() -> torch.Tensor:
        return torch.rand(len(pictures), 1, 1, 1, generator=generator)

    for _ in range(2):
        blurred = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
        pictures = pictures.lerp(blurred, amount())
    noise = torch.randn(pictures.shape, generator=generator) * 0.12 * amount()
    return pictures * (1 + 0.1 * (amount() - 0.5)) + noise


@torch.no_grad()
def judge(model: Classifier, pictures: torch.Tensor, batch: int = 100) -> dict[str, torch.Tensor]:
    """The answers for pictures in [-1, 1], as indices, by the names of ANSWERS."""
    model.eval()
    device = next(model.parameters()).device
    answers = [[logits.argmax(1).cpu() for logits in model(part.to(device))] for part in pictures.split(batch)]
    return {name: torch.cat(column) for name, column in zip(ANSWERS, zip(*answers))}


@torch.no_grad()
def certainty(model: Classifier, pictures: torch.Tensor, batch: int = 100) -> torch.Tensor:
    """How probable the judge holds the object it names in each picture."""
    object_ = list(ANSWERS).index("object")
    return torch.cat([model(part)[object_].softmax(1).amax(1) for part in pictures.split(batch)])


def accuracy(model: Classifier, pictures: torch.Tensor, truth: list[scenes.Scene]) -> dict[str, float]:
    """The share of right answers to each question that has one; "object" is asked of single and "pair" of two objects."""
    seen, right = judge(model, pictures), truths(truth)
    asked = {name: right[name] >= 0 for name in ANSWERS}
    correct = {name: seen[name] == right[name] for name in ANSWERS}
    correct["pair"], asked["pair"] = correct["left"] & correct["right"], asked["left"]
    return {
        name: correct[name][asked[name]].float().mean().item()
        for name in ("object", "colour", "place", "count", "pair")
        if asked[name].any()
    }


def trained(folder) -> Classifier:
    model = Classifier()
    model.load_state_dict(common.load(folder / "classifier.pt"))
    return model.eval().requires_grad_(False)


def exported(folder) -> torch.jit.ScriptModule:
    """The judge as the stage export leaves it."""
    return torch.jit.load(str(folder / "classifier.pt"), map_location="cpu").float().eval()


def _figures(model: Classifier, seed: int, count: int) -> dict[str, float]:
    truth, pictures = scenes.batch(np.random.default_rng(seed), count, held=True)
    return accuracy(model, to_tensor(pictures), truth)


def train(options: common.Options) -> None:
    folder = options.folder
    if (folder / "classifier.pt").exists():
        return
    torch.manual_seed(1)
    model = Classifier()
    run = common.Run(options, "classifier", model, RECIPE, seed=1)
    for _ in run:
        truth, pictures = scenes.batch(run.random, RECIPE.batch)
        with common.autocast(options.device):
            logits = model(_disturb(to_tensor(pictures), run.generator).to(options.device))
        loss = torch.zeros((), device=options.device)
        for answer, (name, target) in zip(logits, truths(truth).items()):
            if (target >= 0).any():
                weight = 0.5 if name in ("colour", "place", "count") else 1.0
                target = target.to(options.device)
                loss = loss + weight * F.cross_entropy(answer.float(), target, label_smoothing=0.05)
        run.learn(loss)
        if run.every(500):
            run.log(step=run.step, **_figures(model, 99, 1000))
    common.save_atomically(model.cpu().half().state_dict(), folder / "classifier.pt")
    run.log(final=True, seconds=run.seconds, scenes=4000, **_figures(trained(folder), 100, 4000))
    run.checkpoint.remove()
