"""The denoiser: diffusers' UNet2DConditionModel in miniature, trained to predict v, on the bank of latents."""

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor

import captions
import common
import text_encoder
import tokenizer as tokens
from latents import Bank

CONFIG = dict(
    sample_size=16, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(64, 96, 128), norm_num_groups=16,
    down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    cross_attention_dim=64, attention_head_dim=2,  # despite its name the number of heads
)  # fmt: skip
SCHEDULE = dict(
    num_train_timesteps=1000, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.02, prediction_type="v_prediction",
    timestep_spacing="trailing", clip_sample=False, set_alpha_to_one=True, steps_offset=1,
)  # fmt: skip
STEPS, BATCH, PEAK = 10000, 32, 1e-3
UNCONDITIONAL = 0.1  # odds of an empty caption, for classifier-free guidance
MIN_SNR = 5.0
AVERAGE = 0.999
SAVE_EVERY, LOOK_EVERY = 250, 1000


def build() -> UNet2DConditionModel:
    return UNet2DConditionModel(**CONFIG)


def trained(folder) -> UNet2DConditionModel:
    model = build()
    model.load_state_dict(common.load(folder / "denoiser.pt"))
    return model.eval().requires_grad_(False)


class Texts:
    """Captions to contexts with the frozen text encoder."""

    def __init__(self, folder):
        self.tokenizer, self.model = tokens.load(folder), text_encoder.trained(folder)

    @torch.no_grad()
    def __call__(self, texts: list[str]) -> torch.Tensor:
        return self.model(tokens.encode(self.tokenizer, texts)).last_hidden_state


def _loss(model, latents, context, alphas, generator) -> torch.Tensor:
    """Min-SNR weighted error of v; the timesteps of a batch are stratified."""
    count = len(latents)
    spread = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    steps = (spread * len(alphas)).long()
    alpha = alphas[steps].view(-1, 1, 1, 1)
    noise = torch.randn(latents.shape, generator=generator)
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    target = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    with torch.autocast("cpu", torch.bfloat16):
        output = model(noisy, steps, context).sample.float()
    ratio = alpha / (1 - alpha)
    weight = ratio.clamp(max=MIN_SNR) / (ratio + 1)
    return (weight * (output - target).square()).mean()


def train(folder, minutes=None) -> None:
    log = common.Log(folder, "denoiser")
    torch.manual_seed(7)
    model = build()
    model.set_attn_processor(AttnProcessor())  # on a CPU faster backwards than the fused one
    average = common.Average(model, AVERAGE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=0.01, betas=(0.9, 0.99))
    budget, state_path = common.Budget(STEPS, minutes), folder / "denoiser.state.pt"
    if state_path.exists():
        state = common.load(state_path)
        model.load_state_dict(state["model"])
        average.module.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        budget.restore(state["budget"])
    elif (folder / "denoiser.pt").exists():
        return
    random, generator = np.random.default_rng((7, budget.step)), torch.Generator().manual_seed(7 + budget.step)
    bank, texts = Bank(folder), Texts(folder)
    alphas = DDIMScheduler(**SCHEDULE).alphas_cumprod
    log(parameters=sum(p.numel() for p in model.parameters()))
    losses = []
    while budget.fraction < 1:
        latents, truth = bank.draw(random, BATCH)
        lines = ["" if random.random() < UNCONDITIONAL else captions.caption(scene, random) for scene in truth]
        loss = _loss(model, latents, texts(lines), alphas, generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        common.set_learning_rate(optimizer, common.learning_rate(budget.fraction, budget.step, PEAK))
        optimizer.step()
        average.update(model, budget.step)
        budget.step += 1
        losses.append(loss.item())
        if budget.step % 100 == 0:
            log(
                step=budget.step,
                seconds=budget.elapsed,
                loss=sum(losses) / len(losses),
                fraction=budget.fraction,
                latents=len(bank.scenes),
            )
            losses = []
            bank.refresh()
        if budget.step % SAVE_EVERY == 0:
            _save(model, average, optimizer, budget, folder, state_path)
        if budget.step % LOOK_EVERY == 0:
            log(step=budget.step, **_look(folder))
    _save(model, average, optimizer, budget, folder, state_path)
    log(final=True, step=budget.step, seconds=budget.elapsed, **_look(folder))
    state_path.unlink()


def _save(model, average, optimizer, budget, folder, state_path) -> None:
    common.save_atomically(average.module.state_dict(), folder / "denoiser.pt")
    common.save_atomically(
        {
            "model": model.state_dict(),
            "average": average.module.state_dict(),
            "optimizer": optimizer.state_dict(),
            "budget": budget.state(),
        },
        state_path,
    )


def _look(folder) -> dict:
    """A quick look on the way: one picture of a held-out pair for every object."""
    import evaluate
    import pipeline

    return evaluate.held_out_pairs(pipeline.build(folder), folder, count=44, sheet="denoiser.png")
