"""The denoiser: diffusers' UNet2DConditionModel in miniature, trained to predict v, on the bank of latents."""

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor

import captions
import common
import scenes
import text_encoder
import tokenizer as tokens
from latents import Bank

CONFIG = dict(
    sample_size=16, in_channels=8, out_channels=8, layers_per_block=1, block_out_channels=(64, 96, 128), norm_num_groups=16,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    cross_attention_dim=64, attention_head_dim=2,  # despite its name the number of heads
)  # fmt: skip
SCHEDULE = dict(
    num_train_timesteps=1000, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.02, prediction_type="v_prediction",
    timestep_spacing="trailing", clip_sample=False, set_alpha_to_one=True, steps_offset=1,
)  # fmt: skip
RECIPE = common.Recipe(steps=15000, batch=32, peak=1e-3, average=0.999)
# Share of scenes without a caption, for classifier-free guidance and for "". Nothing guides such a picture, so the fewer
# kinds of scene it may be, the better a model of this size draws it: one large object, of the first few.
UNCAPTIONED, UNCAPTIONED_OBJECTS = 0.15, 16
# Signal-to-noise ratios that the error of x0 is weighted by are kept in these: min-SNR has the upper bound only, but in the
# noisiest steps, to which it gives next to no weight, it is decided what the picture shows.
SNR_BOUNDS = (0.3, 5.0)
LOOK_EVERY, LOOK_AT = 1000, 100


def build() -> UNet2DConditionModel:
    return UNet2DConditionModel(**CONFIG)


def trained(folder) -> UNet2DConditionModel:
    model = build()
    model.load_state_dict(common.load(folder / "denoiser.pt"))
    return model.eval().requires_grad_(False)


class Texts:
    """Captions to contexts with the frozen text encoder."""

    def __init__(self, options: common.Options):
        self.tokenizer = tokens.load(options.folder)
        self.model = text_encoder.trained(options.folder).to(options.device)

    @torch.no_grad()
    def __call__(self, texts: list[str]) -> torch.Tensor:
        return self.model(tokens.encode(self.tokenizer, texts).to(self.model.device)).last_hidden_state


def _undescribed(scene: scenes.Scene) -> bool:
    return scene.plain and scene.object < UNCAPTIONED_OBJECTS


def _loss(model, latents, context, alphas, generator) -> torch.Tensor:
    """Weighted error of v; the timesteps of a batch are stratified."""
    count, device = len(latents), context.device
    spread = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    steps = (spread * len(alphas)).long()
    alpha = alphas[steps].view(-1, 1, 1, 1)
    noise = torch.randn(latents.shape, generator=generator)
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    target = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    with common.autocast(device):
        output = model(noisy.to(device), steps.to(device), context).sample.float()
    ratio = alpha / (1 - alpha)
    weight = ratio.clamp(*SNR_BOUNDS) / (ratio + 1)
    return (weight.to(device) * (output - target.to(device)).square()).mean()


def train(options: common.Options) -> None:
    folder = options.folder
    if (folder / "denoiser.pt").exists():
        return
    torch.manual_seed(7)
    model = build()
    if options.device.type == "cpu":
        model.set_attn_processor(AttnProcessor())  # there faster backwards than the fused one
    run = common.Run(options, "denoiser", model, RECIPE, seed=7)
    bank, texts = Bank(folder), Texts(options)
    alphas = DDIMScheduler(**SCHEDULE).alphas_cumprod
    for _ in run:
        bare = int(run.random.binomial(RECIPE.batch, UNCAPTIONED))
        unseen, _ = bank.draw(run.random, bare, _undescribed)
        seen, truth = bank.draw(run.random, RECIPE.batch - bare)
        latents, lines = torch.cat([unseen, seen]), [""] * bare + [captions.caption(scene, run.random) for scene in truth]
        run.learn(_loss(model, latents, texts(lines), alphas, run.generator))
        if run.every(100):
            bank.refresh()
        if run.every(LOOK_EVERY):
            run.log(step=run.step, latents=len(bank.scenes), **look(folder, run.result))
    common.save_atomically(run.result.cpu().state_dict(), folder / "denoiser.pt")
    run.log(final=True, step=run.step, seconds=run.seconds, **look(folder, trained(folder)))
    run.checkpoint.remove()


def look(folder, model: UNet2DConditionModel) -> dict:
    """A quick look on the way: one picture of a held-out pair for every object."""
    import evaluate
    import pipeline

    return evaluate.quick(pipeline.build(folder, model).to(model.device), folder, LOOK_AT, "denoiser.png")
