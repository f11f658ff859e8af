"""The autoencoder: diffusers' AutoencoderKL at down-factor 4 with 4 latent channels.

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
    in_channels=3, out_channels=3, latent_channels=4, sample_size=scenes.SIDE, layers_per_block=1, norm_num_groups=8,
    block_out_channels=(16, 32, 64), down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
    mid_block_add_attention=False, scaling_factor=1.0, force_upcast=False,
)  # fmt: skip
STEPS, BATCH, PEAK = 3000, 8, 2e-3
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
    pictures = to_tensor(scenes.batch(random, 1000)[1])
    latents = torch.cat([latents_of(model, part) for part in pictures.split(100)])
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
    target = to_tensor(pictures)
    output = torch.cat([model.decode(latents_of(model, part)).sample.clamp(-1, 1) for part in target.split(50)])
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


def train(folder, minutes=None) -> None:
    """The whole autoencoder; at the end its latents are normalised."""
    if (folder / "autoencoder.pt").exists():
        return
    torch.manual_seed(2)
    model = build()
    fit(model, folder, "autoencoder", list(model.parameters()), minutes, STEPS, PEAK, encoder_moves=True)


def fit(model, folder, stage, parameters, minutes, steps, peak, encoder_moves) -> None:
    log = common.Log(folder, stage)
    random = np.random.default_rng(2)
    budget, state_path = common.Budget(steps, minutes), folder / f"{stage}.state.pt"
    optimizer = torch.optim.AdamW(parameters, lr=peak, weight_decay=1e-4, betas=(0.9, 0.98))
    average = common.Average(model, 0.998)
    if state_path.exists():
        state = common.load(state_path)
        model.load_state_dict(state["model"])
        average.module.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        budget.restore(state["budget"])
        random = np.random.default_rng((2, budget.step))
    log(parameters=sum(p.numel() for p in model.parameters()))
    model.train()
    while budget.fraction < 1:
        target = to_tensor(scenes.batch(random, BATCH)[1])
        common.set_learning_rate(optimizer, common.learning_rate(budget.fraction, budget.step, peak, hold=0.2))
        with torch.autocast("cpu", torch.bfloat16):
            with torch.set_grad_enabled(encoder_moves):
                latents = latents_of(model, target).float()
            noise = torch.randn_like(latents) * latents.detach().std((0, 2, 3), keepdim=True) * LATENT_NOISE
            output = model.decode(latents + noise).sample.float()
        loss = reconstruction_loss(output, target)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        average.update(model, budget.step)
        budget.step += 1
        if budget.step % 25 == 0 and budget.step < 200 or budget.step % 250 == 0:
            log(step=budget.step, seconds=budget.elapsed, loss=loss.item(), fraction=budget.fraction)
        if budget.step % 500 == 0:
            log(step=budget.step, **figures(average.module, folder, 200, f"{stage}.png"))
            common.save_atomically(
                {
                    "model": model.state_dict(),
                    "average": average.module.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "budget": budget.state(),
                },
                state_path,
            )
    _finish(average.module, folder, log, encoder_moves)
    log(
        final=True,
        seconds=budget.elapsed,
        steps=budget.step,
        scenes=500,
        **figures(trained(folder), folder, sheet=f"{stage}.png"),
    )


def _finish(model, folder, log, encoder_moves) -> None:
    if encoder_moves:
        log(latent_deviations=normalise(model.eval(), np.random.default_rng(3)))
        common.save_atomically(model.state_dict(), folder / "autoencoder.pt")
        return
    tuned = {
        name: value for name, value in model.state_dict().items() if name.startswith(("decoder.", "post_quant_conv."))
    }
    common.save_atomically(tuned, folder / "decoder.pt")
