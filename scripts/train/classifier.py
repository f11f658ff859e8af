"""The judge: a small CNN that names the object and the background colour of a picture.

It is trained on rendered scenes only, never on a generated picture. Its weights are kept at half precision (0.5 MB)."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import common
import scenes

STEPS, BATCH, PEAK = 2500, 64, 2e-3


class Classifier(nn.Module):
    """SIDE x SIDE pictures in [-1, 1] -> object and colour logits; about 0.2 M parameters."""

    def __init__(self, widths=(24, 48, 64, 96), object_count=None):
        super().__init__()
        layers, before = [], 3
        for width in widths:
            layers += [nn.Conv2d(before, width, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
                       nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]  # fmt: skip
            before = width
        self.body = nn.Sequential(*layers)
        self.object = nn.Linear(before * 2, object_count or len(scenes.objects()))
        self.colour = nn.Linear(before * 2, len(scenes.COLOUR_NAMES))

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.body(pictures)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)
        return self.object(pooled), self.colour(pooled)


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """Bytes, N x H x W x 3 -> floats in [-1, 1], N x 3 x H x W."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_bytes(pictures: torch.Tensor) -> np.ndarray:
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def _disturb(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Blur, noise and contrast, so that the judge looks at shapes rather than at single pixels."""
    blurred = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
    amount = torch.rand(len(pictures), 1, 1, 1, generator=generator)
    pictures = pictures.lerp(blurred, amount)
    noise = (
        torch.randn(pictures.shape, generator=generator)
        * 0.12
        * torch.rand(len(pictures), 1, 1, 1, generator=generator)
    )
    return pictures * (1 + 0.1 * (torch.rand(len(pictures), 1, 1, 1, generator=generator) - 0.5)) + noise


@torch.no_grad()
def judge(model: Classifier, pictures: torch.Tensor, batch: int = 100) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted object and colour indices of pictures in [-1, 1]."""
    model.eval()
    answers = [tuple(logits.argmax(1) for logits in model(part)) for part in pictures.split(batch)]
    return torch.cat([a for a, _ in answers]), torch.cat([b for _, b in answers])


def accuracy(model: Classifier, pictures: torch.Tensor, truth: list[scenes.Scene]) -> dict:
    seen_objects, seen_colours = judge(model, pictures)
    return {
        "object": (seen_objects == torch.tensor([s.object for s in truth])).float().mean().item(),
        "colour": (seen_colours == torch.tensor([s.colour for s in truth])).float().mean().item(),
    }


def trained(folder) -> Classifier:
    model = Classifier()
    model.load_state_dict(common.load(folder / "classifier.pt"))
    return model.eval()


def export(folder) -> None:
    """classifier.ts: TorchScript for other programs; pictures in [-1, 1] -> (object, colour) logits, any batch."""
    path = folder / "classifier.ts"
    torch.jit.trace(trained(folder), torch.zeros(2, 3, scenes.SIDE, scenes.SIDE)).save(str(path.with_suffix(".tmp")))
    path.with_suffix(".tmp").replace(path)


def train(folder, minutes=None) -> None:
    if (folder / "classifier.pt").exists():
        return
    log = common.Log(folder, "classifier")
    torch.manual_seed(1)
    random, generator = np.random.default_rng(1), torch.Generator().manual_seed(1)
    model = Classifier()
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=0.02)
    budget, state_path = common.Budget(STEPS, minutes), folder / "classifier.state.pt"
    if state_path.exists():
        state = common.load(state_path)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        budget.restore(state["budget"])
        random = np.random.default_rng((1, budget.step))
    log(parameters=sum(p.numel() for p in model.parameters()))
    model.train()
    while budget.fraction < 1:
        truth, pictures = scenes.batch(random, BATCH)
        common.set_learning_rate(optimizer, common.learning_rate(budget.fraction, budget.step, PEAK))
        objects, colours = model(_disturb(to_tensor(pictures), generator))
        loss = F.cross_entropy(objects, torch.tensor([s.object for s in truth]), label_smoothing=0.05)
        loss = loss + 0.5 * F.cross_entropy(colours, torch.tensor([s.colour for s in truth]), label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        budget.step += 1
        if budget.step % 250 == 0:
            held, pictures = scenes.batch(np.random.default_rng(99), 1000, held=True)
            log(
                step=budget.step, seconds=budget.elapsed, loss=loss.item(), **accuracy(model, to_tensor(pictures), held)
            )
            common.save_atomically(
                {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "budget": budget.state()}, state_path
            )
            model.train()
    common.save_atomically(model.half().state_dict(), folder / "classifier.pt")
    model = trained(folder)
    export(folder)
    held, pictures = scenes.batch(np.random.default_rng(100), 4000, held=True)
    log(final=True, seconds=budget.elapsed, scenes=4000, **accuracy(model, to_tensor(pictures), held))
