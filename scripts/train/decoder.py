"""More steps for the autoencoder's decoder alone, on whole pictures: the encoder, and so the latents, stay as they are."""

import torch

import autoencoder
import common

RECIPE = common.Recipe(
    steps=5000, batch=4, peak=7e-4, hold=0.2, weight_decay=1e-4, betas=(0.9, 0.98), average=0.998, save_every=500
)
PARTS = ("decoder.", "post_quant_conv.")


def train(options: common.Options) -> None:
    path = options.folder / "decoder.pt"
    if path.exists():
        return
    torch.manual_seed(3)
    model = autoencoder.trained(options.folder)
    for name, value in model.named_parameters():
        value.requires_grad_(name.startswith(PARTS))
    run = common.Run(options, "decoder", model, RECIPE, seed=12)
    autoencoder.fit(model, run, encoder_moves=False)
    tuned = {name: value for name, value in run.result.cpu().state_dict().items() if name.startswith(PARTS)}
    common.save_atomically(tuned, path)
    autoencoder.finish(run)
