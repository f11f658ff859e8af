"""The autoencoder: diffusers' AutoencoderKL at down-factor 8 with 8 latent channels.

It is deterministic, and its latents are normalised in its own weights."""

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import nn

import classifier
import common
import scenes
from classifier import to_bytes, to_tensor

CONFIG = dict(
    in_channels=3, out_channels=3, latent_channels=8, sample_size=scenes.SIDE, layers_per_block=1, norm_num_groups=8,
    block_out_channels=(16, 32, 64, 64), down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    mid_block_add_attention=False, scaling_factor=1.0, force_upcast=False,
)  # fmt: skip
RECIPE = common.Recipe(
    steps=4300, batch=4, peak=2e-3, hold=0.2, weight_decay=1e-4, betas=(0.9, 0.98), average=0.998, save_every=500
)
CROP = scenes.SIDE // 2  # every other step trains on four times as many crops of this side: more variety for the same time
LATENT_NOISE = 0.05  # of the latents' deviation, so that the decoder forgives the denoiser
LOG_VARIANCE = -30.0


def build() -> AutoencoderKL:
    """A new autoencoder that starts near the identity: shortcuts and samplers pass pixels, residual branches are weak."""
    model = AutoencoderKL(**CONFIG)

    def pass_through(conv: nn.Conv2d, average: bool = False) -> None:
        with torch.no_grad():
            conv.weight.mul_(0.1)
            conv.bias.zero_()
            centre = conv.kernel_size[0] // 2
            for i in range(min(conv.weight.shape[:2])):
                if average:
                    conv.weight[i, i, :2, :2] += 0.25
                else:
                    conv.weight[i, i, centre, centre] += 1

    for name, module in model.named_modules():
        if name.endswith(("conv_shortcut", "conv_in", "quant_conv", "upsamplers.0.conv")):
            pass_through(module)
        elif name.endswith("downsamplers.0.conv"):
            pass_through(module, average=True)
        elif ".resnets." in name and name.endswith("conv2"):
            module.weight.data.mul_(0.25)
            module.bias.data.zero_()
    return model


def latents_of(model: AutoencoderKL, pictures: torch.Tensor) -> torch.Tensor:
    return model.encode(pictures).latent_dist.mean


def reconstruction_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    difference = output - target
    edges = difference.diff(dim=3).abs().mean() + difference.diff(dim=2).abs().mean()
    return difference.abs().mean() + 0.5 * edges + difference.square().mean()


@torch.no_grad()
def normalise(model: AutoencoderKL, random: np.random.Generator) -> list[float]:
    """Folds each latent channel's mean and deviation into the 1x1 convolutions, so that latents have mean 0 and deviation 1
    with scaling_factor 1, and fixes the posterior's variance at nothing."""
    pictures = to_tensor(scenes.batch(random, 500)[1])
    latents = torch.cat([latents_of(model, part) for part in pictures.split(50)])
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    count = len(mean)
    before, after = model.quant_conv, model.post_quant_conv
    before.weight[:count] /= deviation.view(-1, 1, 1, 1)
    before.bias[:count] = (before.bias[:count] - mean) / deviation
    before.weight[count:] = 0
    before.bias[count:] = LOG_VARIANCE
    after.bias += after.weight[:, :, 0, 0] @ mean
    after.weight *= deviation.view(1, -1, 1, 1)
    return deviation.tolist()


@torch.no_grad()
def figures(model: AutoencoderKL, folder, count: int = 500, sheet: str | None = None) -> dict:
    """PSNR and the judge's opinion of reconstructions of held-out scenes."""
    model.eval()
    truth, pictures = scenes.batch(np.random.default_rng(77), count, held=True)
    target, device = to_tensor(pictures), next(model.parameters()).device
    output = torch.cat(
        [model.decode(latents_of(model, part.to(device))).sample.clamp(-1, 1).cpu() for part in target.split(50)]
    )
    if sheet:
        pairs = [image for pair in zip(pictures[:32], to_bytes(output[:32])) for image in pair]
        scenes.contact_sheet(pairs, 16).save(folder / sheet)
    psnr = (10 * torch.log10(4 / (output - target).square().mean((1, 2, 3)))).mean().item()
    result = {"psnr": psnr}
    if (folder / "classifier.pt").exists():
        result |= classifier.accuracy(classifier.trained(folder), output, truth)
    return result


def trained(folder) -> AutoencoderKL:
    model = AutoencoderKL(**CONFIG)
    model.load_state_dict(common.load(folder / "autoencoder.pt"))
    tuned = folder / "decoder.pt"
    if tuned.exists():
        model.load_state_dict(common.load(tuned), strict=False)
    return model.eval().requires_grad_(False)


def _pictures(run: common.Run, crops: bool) -> torch.Tensor:
    count = run.recipe.batch
    if not crops:
        return to_tensor(scenes.batch(run.random, count)[1]).to(run.options.device)
    pictures = scenes.batch(run.random, count * (scenes.SIDE // CROP) ** 2)[1]
    corners = run.random.integers(0, scenes.SIDE - CROP + 1, (len(pictures), 2))
    cropped = [picture[y : y + CROP, x : x + CROP] for picture, (y, x) in zip(pictures, corners)]
    return to_tensor(np.stack(cropped)).to(run.options.device)


def fit(model: AutoencoderKL, run: common.Run, encoder_moves: bool) -> None:
    """Trains the parameters that require gradients; without `encoder_moves` on whole pictures only."""
    for step in run:
        target = _pictures(run, crops=encoder_moves and step % 2 == 0)
        with common.autocast(run.options.device):
            with torch.set_grad_enabled(encoder_moves):
                latents = latents_of(model, target).float()
            noise = torch.randn(latents.shape, generator=run.generator).to(latents.device)
            noise = noise * latents.detach().std((0, 2, 3), keepdim=True) * LATENT_NOISE
            output = model.decode(latents + noise).sample.float()
        run.learn(reconstruction_loss(output, target))
        if run.every(500):
            run.log(step=run.step, **figures(run.result, run.options.folder, 200, f"{run.stage}.png"))


def finish(run: common.Run) -> None:
    folder = run.options.folder
    run.log(final=True, seconds=run.seconds, scenes=500, **figures(trained(folder), folder, sheet=f"{run.stage}.png"))
    run.checkpoint.remove()


def train(options: common.Options) -> None:
    """The whole autoencoder; at the end its latents are normalised."""
    path = options.folder / "autoencoder.pt"
    if path.exists():
        return
    torch.manual_seed(2)
    model = build()
    run = common.Run(options, "autoencoder", model, RECIPE, seed=2)
    fit(model, run, encoder_moves=True)
    result = run.result.cpu().eval()
    run.log(latent_deviations=normalise(result, np.random.default_rng(3)))
    common.save_atomically(result.state_dict(), path)
    finish(run)
