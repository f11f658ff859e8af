"""Pipelines of the published architectures with random weights: for scripts/parity where real ones cannot be had."""

import math
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from .checks import release_memory
from .layout import text_config
from .single_file import families, scheduler
from .source import Part, Source
from .tokenizer import clip_tokenizer

# What families.json leaves to the shapes of a file's tensors: settings of the U-Net other than diffusers' defaults, which
# are Stable Diffusion 1's, and width and depth of the text encoders.
ARCHITECTURES = {
    "sd1": {"unet": {"cross_attention_dim": 768, "attention_head_dim": 8}, "text_encoder": (768, 12)},
    "sd2": {"unet": {"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True},
            "text_encoder": (1024, 23)},
    "sdxl": {"unet": {"block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048,
                      "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
                      "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
                      "transformer_layers_per_block": [1, 2, 10], "attention_head_dim": [5, 10, 20],
                      "use_linear_projection": True, "addition_embed_type": "text_time",
                      "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 1280 + 6 * 256},
             "text_encoder": (768, 12), "text_encoder_2": (1280, 32)},
}
AUTOENCODER = {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": 4,
               "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
TOKENS, LENGTH = 49408, 77
# Deviation of what a layer makes of unit inputs, by the first part that its name holds; else 1. Queries and keys: without
# more, attention would be near a mean of all places. What the prompt adds is multiplied by guidance later.
GAINS = {"to_q.": 1.4, "to_k.": 1.4, "q_proj.": 1.4, "k_proj.": 1.4, "attn1.to_out.": 2.0, "attn2.to_out.": 0.3,
         "time_emb_proj.": 2.0, "_embedding.weight": 0.5}
SPREAD = 0.1  # of biases, and of the scales of normalisations around 1


def known_families() -> list[str]:
    """That make pictures of prompts alone."""
    pipelines = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
    return [name for name, entry in families().items()
            if entry["pipeline"] in pipelines and entry.get("like", name) in ARCHITECTURES]


def write_random_pipeline(family: str, folder: Path, stored: torch.dtype = torch.float32) -> None:
    """A diffusers pipeline folder, the same at every call, of one of the known_families(). One network is in memory at
    a time."""
    entry = families()[family]
    parts = parts_of(entry, ARCHITECTURES[entry.get("like", family)])
    others = {"scheduler": scheduler(entry, {})}
    for encoder, tokenizer in (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")):
        if encoder in parts:
            others[tokenizer] = clip_tokenizer(TOKENS, entry[encoder]["pad"])
    pipeline = Source(entry["pipeline"], entry.get("settings", {}), parts, others).pipeline
    partial = folder.with_name(f".{folder.name}.partial")
    pipeline.save_config(partial)
    for name, part in others.items():
        part.save_pretrained(partial / name)
    for number, (name, part) in enumerate(parts.items()):
        module = part.empty().to_empty(device="cpu")
        fill(module, torch.Generator().manual_seed(number))
        if name == "unet" and pipeline.scheduler.config.prediction_type == "epsilon":
            follow_the_sample(module)
        module.to(stored).save_pretrained(partial / name)
        del module
        release_memory()
    partial.rename(folder)


def parts_of(entry: dict, architecture: dict) -> dict[str, Part]:
    parts = {"unet": Part(UNet2DConditionModel, {"sample_size": entry["sample_size"]} | architecture["unet"], None),
             "vae": Part(AutoencoderKL, AUTOENCODER | {"scaling_factor": entry["scaling_factor"]}, None)}
    for name, kind in (("text_encoder", CLIPTextModel), ("text_encoder_2", CLIPTextModelWithProjection)):
        if name in architecture:
            width, layers = architecture[name]
            config = text_config((TOKENS, width), (LENGTH, width), (4 * width,), layers, entry[name])
            parts[name] = Part(kind, config | {"projection_dim": width}, None)
    return parts


@torch.no_grad()
def fill(module: nn.Module, generator: torch.Generator) -> None:
    """So that what each layer makes of unit inputs is of unit size, whatever its width."""
    norms = (nn.GroupNorm, nn.LayerNorm)
    for path, layer in module.named_modules():
        for name, weight in layer.named_parameters(path, recurse=False):
            if weight.dim() > 1:
                inputs = 1 if isinstance(layer, nn.Embedding) else weight[0].numel()
                gain = next((gain for part, gain in GAINS.items() if part in name), 1.0)
                weight.normal_(0, gain / math.sqrt(inputs), generator=generator)
            else:
                weight.normal_(float(isinstance(layer, norms) and name.endswith("weight")), SPREAD, generator=generator)


@torch.no_grad()
def follow_the_sample(unet: UNet2DConditionModel) -> None:
    """Makes the prediction mostly the sample itself, which for unit data is nearly the noise in it. A prediction that
    has nothing to do with the noise would let the latents grow on the way."""
    channels, width = unet.conv_out.out_channels, unet.conv_in.out_channels
    same = torch.eye(channels)
    skip = unet.up_blocks[-1].resnets[-1].conv_shortcut.weight[:, -width:]  # the connection from conv_in
    unet.conv_in.weight[:channels] = 0
    unet.conv_in.weight[:channels, :channels, 1, 1] = same
    skip[:channels, :channels, 0, 0] += 10 * same
    # Where SiLU is nearly x/2.
    unet.conv_norm_out.weight[:channels] = 0.1
    unet.conv_norm_out.bias[:channels] = 0
    unet.conv_out.weight.mul_(0.3)
    unet.conv_out.weight[:, :channels] = 0
    unet.conv_out.weight[:, :channels, 1, 1] = 20 * 0.6 * same
