"""The networks of a Stable Diffusion pipeline, made traceable without changing what they compute.

Each adapter below takes its inputs positionally, in the order of its roles, and returns one tensor. Where the original
would leave a size, a device or a dtype in the trace, the adapter says the same thing in another way. The adapters share
the original's parameters and keep their names."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, CLIPTextModel


@dataclass
class Network:
    """One network to export and what is needed to check it against the original."""

    name: str
    inputs: list[str]
    outputs: list[str]
    module: nn.Module  # the adapter, float32
    original: Callable[..., Tensor]  # the untouched original, same arguments
    example: Callable[[int, int, int], tuple]  # (batch, rows, columns of latents) -> inputs
    names: list[str]  # of its parameters, as in the diffusers state dict


def stable_diffusion(pipeline: StableDiffusionPipeline) -> list[Network]:
    text, unet, vae = pipeline.text_encoder, pipeline.unet, pipeline.vae
    if type(text) is not CLIPTextModel:
        raise ValueError(f"text_encoder: a CLIPTextModel is needed, not {type(text).__name__}")
    refuse_unknown(unet.config)
    length = text.config.max_position_embeddings
    return [
        Network("text", ["ids"], ["hidden"], adapt(text, TextEncoder),
                lambda ids: text(input_ids=ids).last_hidden_state,
                lambda batch, rows, columns: (torch.randint(0, text.config.vocab_size, (batch, length)),),
                parameter_names(text)),
        Network("unet", ["sample", "timestep", "context"], ["prediction"], adapt(unet, Denoiser),
                lambda sample, timestep, context: unet(sample, timestep, context).sample,
                lambda batch, rows, columns: (
                    torch.randn(batch, unet.config.in_channels, rows, columns),
                    torch.linspace(999, 0.5, batch),
                    torch.randn(batch, length, unet.config.cross_attention_dim)),
                parameter_names(unet)),
        Network("decoder", ["latents"], ["image"], Decoder(vae),
                lambda latents: vae.decode(latents).sample,
                lambda batch, rows, columns: (torch.randn(batch, vae.config.latent_channels, rows, columns),),
                [name for name in parameter_names(vae) if name.startswith(("decoder.", "post_quant_conv."))]),
    ]


def parameter_names(module: nn.Module) -> list[str]:
    buffers = dict(module.named_buffers())
    return [name for name in module.state_dict() if name not in buffers]


def adapt(module: nn.Module, adapter: type[nn.Module]) -> nn.Module:
    """The same module with the adapter's methods: a wrapper would put a prefix before every parameter's name."""
    adapted = copy.copy(module)
    adapted.__class__ = adapter
    return adapted


def causal_attention(module, query, key, value, mask, scaling, dropout=0.0, **_):
    return scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling).transpose(1, 2), None


AttentionInterface.register("causal", causal_attention)


class TextEncoder(CLIPTextModel):
    """ids (B, length) -> the last hidden state after the final layer norm (B, length, channels)."""

    def forward(self, ids):
        # transformers' own attentions build the causal mask as a tensor, whose dtype and device the trace would keep.
        chosen = self.config._attn_implementation
        self.config._attn_implementation = "causal"
        try:
            return super().forward(input_ids=ids).last_hidden_state
        finally:
            self.config._attn_implementation = chosen


class Denoiser(UNet2DConditionModel):
    """sample (B, channels, rows, columns), timestep (B) float32, context (B, tokens, channels) -> prediction."""

    def get_time_embed(self, sample, timestep):
        projection = self.time_proj
        return sinusoid(timestep, sample, projection.num_channels, projection.flip_sin_to_cos,
                        float(projection.downscale_freq_shift), float(projection.scale))

    def forward(self, sample, timestep, context):
        return super().forward(sample, timestep, context, return_dict=False)[0]


# What the Denoiser above knows nothing about: a U-Net that sets one of these would be exported without it.
PLAIN = {"time_embedding_type": "positional", "time_cond_proj_dim": None, "class_embed_type": None,
         "num_class_embeds": None, "addition_embed_type": None, "encoder_hid_dim_type": None}


def refuse_unknown(config) -> None:
    for key, value in PLAIN.items():
        if config[key] != value:
            raise ValueError(f"unet/config.json: {key}: {config[key]!r} is not known to the exporter")


@torch.jit.script
def sinusoid(timestep: Tensor, like: Tensor, channels: int, cosine_first: bool, shift: float, scale: float) -> Tensor:
    """Sinusoidal position encoding (Vaswani et al. 2017) of timesteps (B) in float32, converted to like's dtype.

    Scripted, not traced: a trace would keep the device of arange and the dtype it was traced with."""
    half = channels // 2
    position = torch.arange(half, dtype=torch.float32, device=timestep.device)
    frequency = torch.exp(position * -math.log(10000.0) / (half - shift))
    angle = scale * (timestep.float().unsqueeze(1) * frequency.unsqueeze(0))
    parts = [angle.cos(), angle.sin()] if cosine_first else [angle.sin(), angle.cos()]
    if channels % 2 == 1:
        parts.append(torch.zeros_like(angle[:, :1]))
    return torch.cat(parts, dim=1).to(like.dtype)


class Decoder(nn.Module):
    """latents (B, channels, rows, columns), not scaled -> image (B, 3, height, width), about -1..1."""

    def __init__(self, vae: AutoencoderKL):
        super().__init__()
        self.decoder = vae.decoder
        self.post_quant_conv = vae.post_quant_conv

    def forward(self, latents):
        if self.post_quant_conv is not None:
            latents = self.post_quant_conv(latents)
        return self.decoder(latents)
