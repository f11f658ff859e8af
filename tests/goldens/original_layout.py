"""Writes a diffusers pipeline as one state dict in the layout that checkpoints are published in: that of latent diffusion
(CompVis), of Stability AI's for version 2, and of its generative-models for XL."""

import re

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
          "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
UNET_ENDS = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
             "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
             "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}
VAE = [("conv_norm_out", "norm_out"), ("conv_shortcut", "nin_shortcut"), ("mid_block.attentions.0.group_norm", "mid.attn_1.norm"),
       ("mid_block.attentions.0.to_out.0", "mid.attn_1.proj_out"), (r"mid_block.attentions.0.to_([qkv])", r"mid.attn_1.\1"),
       ("mid_block.resnets.0", "mid.block_1"), ("mid_block.resnets.1", "mid.block_2"),
       (r"down_blocks\.(\d+)\.resnets", r"down.\1.block"), (r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample"),
       (r"up_blocks\.(\d+)\.resnets", r"up.\1.block"), (r"up_blocks\.(\d+)\.upsamplers\.0", r"up.\1.upsample")]
OPEN_CLIP = [("encoder.layers", "transformer.resblocks"), ("layer_norm", "ln_"), ("mlp.fc1", "mlp.c_fc"),
             ("mlp.fc2", "mlp.c_proj"), ("self_attn", "attn"), ("embeddings.token_embedding", "token_embedding"),
             ("embeddings.position_embedding.weight", "positional_embedding"), ("final_ln_", "final_layer_norm"),
             ("final_layer_norm", "ln_final")]


def in_original_layout(pipeline: DiffusionPipeline) -> dict[str, Tensor]:
    xl = hasattr(pipeline, "text_encoder_2")
    tensors = {"model.diffusion_model." + name: value for name, value in unet(pipeline.unet).items()}
    tensors |= {"first_stage_model." + name: value for name, value in vae(pipeline.vae).items()}
    first, second = pipeline.text_encoder, getattr(pipeline, "text_encoder_2", None)
    if second is not None:
        prefix = f"conditioner.embedders.{0 if first is None else 1}.model."
        tensors |= {prefix + name: value for name, value in open_clip(second).items()}
    if first is not None and first.config.hidden_act == "gelu":
        tensors |= {"cond_stage_model.model." + name: value for name, value in open_clip(first).items()}
    elif first is not None:
        prefix = "conditioner.embedders.0.transformer." if xl else "cond_stage_model.transformer."
        tensors |= {prefix + "text_model." + name: value for name, value in first.state_dict().items()}
        tensors[prefix + "text_model.embeddings.position_ids"] = torch.arange(77).unsqueeze(0)
    return {name: value.contiguous() for name, value in tensors.items()}


def unet(model) -> dict[str, Tensor]:
    step = model.config.layers_per_block + 1

    def renamed(name: str) -> str:
        for old, new in UNET_ENDS.items():
            if name.startswith(old + "."):
                return name.replace(old, new, 1)
        place = re.match(r"(down|mid|up)_block(?:s\.(\d+))?\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name)
        side, block, kind, layer, rest = place[1], int(place[2] or 0), place[3], int(place[4]), place[5]
        if kind == "resnets":
            part, _, leaf = rest.rpartition(".")
            rest = f"{RESNET[part]}.{leaf}"
        if side == "mid":
            return f"middle_block.{2 * layer if kind == 'resnets' else 1}.{rest}"
        if side == "down":
            index = (block + 1) * step if kind == "downsamplers" else 1 + block * step + layer
            slot = {"resnets": "0", "attentions": "1", "downsamplers": "0"}[kind]
            return f"input_blocks.{index}.{slot}.{rest.replace('conv.', 'op.') if kind == 'downsamplers' else rest}"
        index = block * step + (step - 1 if kind == "upsamplers" else layer)
        attended = hasattr(model.up_blocks[block], "attentions")
        slot = {"resnets": "0", "attentions": "1", "upsamplers": "2" if attended else "1"}[kind]
        return f"output_blocks.{index}.{slot}.{rest}"

    return {renamed(name): value for name, value in model.state_dict().items()}


def vae(model) -> dict[str, Tensor]:
    last = len(model.config.block_out_channels) - 1

    def renamed(name: str) -> str:
        name = re.sub(r"up_blocks\.(\d+)", lambda match: f"up_blocks.{last - int(match[1])}", name)
        for old, new in VAE:
            name = re.sub(old, new, name)
        return name

    tensors = {renamed(name): value for name, value in model.state_dict().items()}
    return {name: value[:, :, None, None] if "attn_1" in name and value.ndim == 2 else value
            for name, value in tensors.items()}


def open_clip(model) -> dict[str, Tensor]:
    """Version 2's file has one layer more than its transformers form, a projection and a scale that nothing uses."""
    state = {name.removeprefix("text_model."): value for name, value in model.state_dict().items()}
    projection = state.pop("text_projection.weight", None)
    tensors = {"logit_scale": torch.tensor(4.6)}
    for name, value in state.items():
        if match := re.match(r"(.*\.)self_attn\.q_proj\.(weight|bias)", name):
            parts = [state[f"{match[1]}self_attn.{part}_proj.{match[2]}"] for part in "qkv"]
            name, value = f"{match[1]}self_attn.in_proj_{match[2]}", torch.cat(parts)
        elif re.search(r"\.[kv]_proj\.", name):
            continue
        for old, new in OPEN_CLIP:
            name = name.replace(old, new)
        tensors[name] = value
    if projection is None:
        layers = model.config.num_hidden_layers
        last = f"transformer.resblocks.{layers - 1}."
        tensors |= {name.replace(last, f"transformer.resblocks.{layers}."): torch.randn_like(value)
                    for name, value in list(tensors.items()) if name.startswith(last)}
        projection = torch.randn(model.config.hidden_size, model.config.hidden_size)
    return tensors | {"text_projection": projection.T}
