"""Diffusers' and transformers' networks, made traceable without changing what they compute.

Where the original would leave a size, a device or a dtype in the trace, the adapter says the same thing in another way.
The adapters share the original's parameters and keep their names."""

import copy
import math

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, CLIPTextModel, CLIPTextModelWithProjection

from .residuals import residual_arguments


def adapt(module: nn.Module, adapter: type[nn.Module], **settings) -> nn.Module:
    """The same module with the adapter's methods: a wrapper would put a prefix before every parameter's name."""
    adapted = copy.copy(module)
    adapted.__class__ = adapter
    for name, value in settings.items():
        setattr(adapted, name, value)
    return adapted


def causal_attention(module, query, key, value, mask, scaling, dropout=0.0, **_):
    return scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling).transpose(1, 2), None


AttentionInterface.register("causal", causal_attention)


def hidden_states(text: CLIPTextModel, ids: Tensor) -> list[Tensor]:
    """The embeddings and each layer's output (B, length, channels), none of them normalised at the end."""
    # transformers' own attentions build the causal mask as a tensor, whose dtype and device the trace would keep.
    configs = {id(layer.self_attn.config): layer.self_attn.config for layer in text.encoder.layers}.values()
    chosen = [config._attn_implementation for config in configs]
    try:
        for config in configs:
            config._attn_implementation = "causal"
        states = [text.embeddings(input_ids=ids)]
        for layer in text.encoder.layers:
            states.append(layer(states[-1], attention_mask=None))
        return states
    finally:
        for config, implementation in zip(configs, chosen, strict=True):
            config._attn_implementation = implementation


def chosen_layers(text: CLIPTextModel, states: list[Tensor], penultimate: bool) -> tuple[Tensor, Tensor]:
    """(hidden, layers): the state that the family uses, and that of every clip skip from 0 on, stacked along dim 1.

    Stable Diffusion 1 and 2 normalise the last layer's output; XL takes the last but one as it is."""
    if penultimate:
        layers = states[-2:0:-1]
    else:
        layers = [text.final_layer_norm(state) for state in states[:0:-1]]
    return layers[0], torch.stack(layers, dim=1)


class TextEncoder(CLIPTextModel):
    """ids (B, length) -> hidden (B, length, channels), layers (B, clip skips, length, channels)."""

    penultimate: bool

    def forward(self, ids):
        return chosen_layers(self, hidden_states(self, ids), self.penultimate)


class ProjectedTextEncoder(CLIPTextModelWithProjection):
    """As TextEncoder, and pooled (B, channels): the projection of the state at the first end token."""

    penultimate: bool

    def forward(self, ids):
        text = self.text_model
        states = hidden_states(text, ids)
        # Configurations from before transformers knew CLIP's end token say 2: then it is the largest id.
        end = ids.argmax(-1) if text.eos_token_id == 2 else (ids == text.eos_token_id).int().argmax(-1)
        last = text.final_layer_norm(states[-1])
        at_end = last.gather(1, end.view(-1, 1, 1).expand(-1, -1, last.shape[-1])).squeeze(1)
        return *chosen_layers(text, states, self.penultimate), self.text_projection(at_end)


class Denoiser(UNet2DConditionModel):
    """sample (B, channels, rows, columns), timestep (B) float32, context (B, tokens, channels) and what else `roles`
    names -> prediction. Further roles: mask and masked_latents, joined to the sample's channels; pooled (B, channels)
    and time_ids (B, count); guidance (B, 1), the scale above 1 of a U-Net that was distilled from a guided one;
    those of residuals.py."""

    roles: list[str]

    def get_time_embed(self, sample, timestep):
        projection = self.time_proj
        return sinusoid(timestep, sample, projection.num_channels, projection.flip_sin_to_cos,
                        float(projection.downscale_freq_shift), float(projection.scale))

    def get_aug_embed(self, emb, encoder_hidden_states, added_cond_kwargs):
        if not added_cond_kwargs:
            return None
        pooled, time_ids = added_cond_kwargs["pooled"], added_cond_kwargs["time_ids"]
        projection = self.add_time_proj
        embedded = sinusoid(time_ids.flatten(), pooled, projection.num_channels, projection.flip_sin_to_cos,
                            float(projection.downscale_freq_shift), float(projection.scale))
        return self.add_embedding(torch.cat([pooled, embedded.reshape(pooled.shape[0], -1)], dim=-1))

    def forward(self, *inputs):
        given = dict(zip(self.roles, inputs, strict=True))
        sample = given["sample"]
        if "mask" in given:
            sample = torch.cat([sample, given["mask"], given["masked_latents"]], dim=1)
        condition = None
        if "guidance" in given:
            condition = guidance_embedding(given["guidance"].flatten(), sample, self.config.time_cond_proj_dim)
        added = {role: given[role] for role in ("pooled", "time_ids") if role in given}
        return super().forward(sample, given["timestep"], given["context"], timestep_cond=condition,
                               added_cond_kwargs=added, return_dict=False, **residual_arguments(given))[0]


# The embeddings below are scripted, not traced: a trace would keep the device of arange and the dtype it was traced with.


@torch.jit.script
def sinusoid(timestep: Tensor, like: Tensor, channels: int, cosine_first: bool, shift: float, scale: float) -> Tensor:
    """Sinusoidal position encoding (Vaswani et al. 2017) of timesteps (B) in float32, converted to like's dtype."""
    half = channels // 2
    position = torch.arange(half, dtype=torch.float32, device=timestep.device)
    frequency = torch.exp(position * -math.log(10000.0) / (half - shift))
    angle = scale * (timestep.float().unsqueeze(1) * frequency.unsqueeze(0))
    parts = [angle.cos(), angle.sin()] if cosine_first else [angle.sin(), angle.cos()]
    if channels % 2 == 1:
        parts.append(torch.zeros_like(angle[:, :1]))
    return torch.cat(parts, dim=1).to(like.dtype)


@torch.jit.script
def guidance_embedding(weight: Tensor, like: Tensor, channels: int) -> Tensor:
    """The same encoding of guidance weights (B), as latent consistency models were trained with it (Luo et al.
    2310.04378). Angles reach thousands, so the order of the float32 operations is diffusers'."""
    half = channels // 2
    step = torch.log(torch.full([1], 10000.0, device=weight.device)) / (half - 1)
    position = torch.arange(half, dtype=torch.float32, device=weight.device)
    angle = (weight.float() * 1000.0).unsqueeze(1) * torch.exp(position * -step).unsqueeze(0)
    parts = [angle.sin(), angle.cos()]
    if channels % 2 == 1:
        parts.append(torch.zeros_like(angle[:, :1]))
    return torch.cat(parts, dim=1).to(like.dtype)


class Decoder(nn.Module):
    """latents (B, channels, rows, columns), not scaled -> image (B, 3, height, width), about -1..1."""

    def __init__(self, vae):
        super().__init__()
        self.decoder = vae.decoder
        self.post_quant_conv = getattr(vae, "post_quant_conv", None)

    def forward(self, latents):
        if self.post_quant_conv is not None:
            latents = self.post_quant_conv(latents)
        return self.decoder(latents)
