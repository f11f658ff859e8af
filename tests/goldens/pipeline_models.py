"""Makes tests/models: random Stable Diffusions in miniature, exported by scripts/exporter.

    PYTHONPATH=scripts .deps/python/bin/python tests/goldens/pipeline_models.py

The weights are seeded, so a second run makes the same files; then run pipeline_record.py, whose goldens hold for these
weights. `tiny` is shaped like Stable Diffusion 1, `tiny-v` like Stable Diffusion 2 with zero terminal SNR, and `nan` is
`tiny` with a denoiser that returns NaN."""

import gzip
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import open_clip
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from exporter.manifest import sha256
from exporter.tokenizer import vocabulary
from exporter.trace import repack

MODELS = Path(__file__).resolve().parents[1] / "models"
MERGES = 486  # with 512 byte symbols and two special tokens: 1000 ids
LICENSE = "none: random weights"


def tiny() -> StableDiffusionPipeline:
    torch.manual_seed(1)
    schedule = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    pipeline = assemble(
        unet(channels=(4, 8)), autoencoder(channels=(4, 8)), pad_token="<|endoftext|>",
        scheduler=DDIMScheduler(**schedule, clip_sample=False, set_alpha_to_one=False, steps_offset=1))
    follow_the_sample(pipeline.unet)
    return pipeline


def tiny_v() -> StableDiffusionPipeline:
    torch.manual_seed(2)
    schedule = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    return assemble(
        unet(channels=(4, 8, 8)), autoencoder(channels=(4, 8, 8)), pad_token="!",
        scheduler=DDIMScheduler(**schedule, clip_sample=False, set_alpha_to_one=True, steps_offset=1,
                                prediction_type="v_prediction", rescale_betas_zero_snr=True,
                                timestep_spacing="trailing"))


def unet(channels: tuple) -> UNet2DConditionModel:
    deeper = len(channels) - 1
    return UNet2DConditionModel(
        sample_size=64 // 2**deeper, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=channels,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * deeper,
        up_block_types=("CrossAttnUpBlock2D",) * deeper + ("UpBlock2D",),
        cross_attention_dim=8, attention_head_dim=2, norm_num_groups=2)


def autoencoder(channels: tuple) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=channels, latent_channels=4, norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels))


def assemble(denoiser, vae, pad_token: str, scheduler) -> StableDiffusionPipeline:
    text = CLIPTextModel(CLIPTextConfig(
        hidden_size=8, intermediate_size=16, num_attention_heads=2, num_hidden_layers=2, vocab_size=1000,
        bos_token_id=998, eos_token_id=999, pad_token_id=999 if pad_token == "<|endoftext|>" else 0,
        # The usual initialisation suits larger widths: with it every prompt here would have nearly the same embedding.
        initializer_factor=4.0))
    return StableDiffusionPipeline(
        vae=vae.eval(), text_encoder=text.eval(), tokenizer=tokenizer(pad_token), unet=denoiser.eval(),
        scheduler=scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False)


def tokenizer(pad_token: str) -> CLIPTokenizer:
    """CLIP's, with its first merge rules only."""
    with gzip.open(Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz"), "rt", encoding="utf-8") as rules:
        merges = [tuple(line.split()) for line in rules.read().splitlines()[1 : MERGES + 1]]
    return CLIPTokenizer(vocab=vocabulary(merges), merges=merges, pad_token=pad_token, model_max_length=77)


@torch.no_grad()
def follow_the_sample(denoiser: UNet2DConditionModel) -> None:
    """Makes the prediction mostly the sample itself, which for unit data is nearly the noise in it. A prediction that
    has nothing to do with the noise would let the latents grow tenfold on the way."""
    channels, width = denoiser.conv_out.out_channels, denoiser.conv_in.out_channels
    last = denoiser.up_blocks[-1].resnets[-1]
    skip = last.conv_shortcut.weight[:, -width:]  # the skip connection from conv_in
    denoiser.conv_in.weight[:channels, :channels, 1, 1] += torch.eye(channels)
    skip[:channels, :channels, 0, 0] += 2 * torch.eye(channels)
    for name, weight in denoiser.named_parameters():
        if name.endswith("attn2.to_out.0.weight"):
            weight.mul_(20)  # what is left of the prompt would hardly be seen
    denoiser.conv_norm_out.weight.mul_(0.1)  # where SiLU is nearly x/2
    denoiser.conv_out.weight[:, :channels, 1, 1] += 20 * torch.eye(channels)


def export(pipeline: StableDiffusionPipeline, folder: Path, summary: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as source:
        pipeline.save_pretrained(source)
        subprocess.run([sys.executable, "-m", "exporter", source, "-o", folder, "--precision", "fp32", "--steps", "5",
                        "--license", LICENSE, "--summary", summary], check=True)


class NotANumber(torch.nn.Module):
    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return sample * float("nan")


def spoil(model: Path, spoiled: Path, summary: str) -> None:
    shutil.rmtree(spoiled, ignore_errors=True)
    shutil.copytree(model, spoiled)
    file = spoiled / "unet.pt"
    torch.jit.script(NotANumber()).save(str(file))
    repack(file)
    manifest = json.loads((spoiled / "model.json").read_text())
    manifest |= {"name": spoiled.name, "summary": summary}
    manifest["networks"]["unet"] |= {"sha256": sha256(file), "parameters": 0, "activation_bytes_per_pixel": 4.0}
    (spoiled / "model.json").write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    export(tiny(), MODELS / "tiny", "Random weights, epsilon prediction, for tests")
    export(tiny_v(), MODELS / "tiny-v", "Random weights, v prediction, zero terminal SNR, for tests")
    spoil(MODELS / "tiny", MODELS / "nan", "Returns NaN, for tests")
