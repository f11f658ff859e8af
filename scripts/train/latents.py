"""A bank of encoded scenes for the denoiser, in parts, so that training can begin when the first part is there."""

import numpy as np
import torch

import autoencoder
import common
import scenes
from classifier import to_tensor

PARTS, PART = 20, 2048


def train(options: common.Options) -> None:
    log = common.Log(options.folder, "latents")
    bank = options.folder / "latents"
    bank.mkdir(exist_ok=True)
    model = autoencoder.trained(options.folder).to(options.device)
    for part in range(PARTS):
        path = bank / f"{part:03}.pt"
        if path.exists():
            continue
        if options.seconds_left() == 0:
            raise common.OutOfTime
        truth, pictures = scenes.batch(np.random.default_rng((6, part)), PART)
        with torch.no_grad(), common.autocast(options.device):
            encoded = [
                autoencoder.latents_of(model, to_tensor(some).to(options.device)).float().cpu()
                for some in np.array_split(pictures, PART // 32)
            ]
        latents, facts = torch.cat(encoded), torch.tensor([scene.facts() for scene in truth])
        common.save_atomically({"latents": latents.half(), "facts": facts}, path)
        log(part=part, mean=latents.mean((0, 2, 3)).tolist(), deviation=latents.std((0, 2, 3)).tolist())


class Bank:
    """Draws batches from the parts that exist; `refresh` takes in new ones."""

    def __init__(self, folder):
        self.folder = folder / "latents"
        self.count = 0
        self.refresh()

    def refresh(self) -> None:
        paths = sorted(self.folder.glob("[0-9]*.pt"))
        if len(paths) == self.count:
            return
        parts = [common.load(path) for path in paths]
        self.latents = torch.cat([part["latents"] for part in parts])
        self.scenes = [scenes.Scene(*row) for part in parts for row in part["facts"].tolist()]
        self.count = len(paths)
        self.rows = {}

    def _rows(self, wanted) -> np.ndarray:
        if wanted not in self.rows:
            self.rows[wanted] = np.array([row for row, scene in enumerate(self.scenes) if not wanted or wanted(scene)])
        return self.rows[wanted]

    def draw(self, random: np.random.Generator, count: int, wanted=None):
        """`wanted`: of a scene, whether it may be drawn."""
        rows = random.choice(self._rows(wanted), size=count)
        return self.latents[torch.from_numpy(rows)].float(), [self.scenes[row] for row in rows]
