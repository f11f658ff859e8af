"""LoRA files as the trainers name their tensors, from random factors; and the names of the original U-Net."""

import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from torch import Tensor, nn

Place = tuple[str, str]  # component of diffusers' pipeline, module
Lora = dict[Place, dict[str, Tensor]]  # "down" and "up"


def modules(pipeline, chosen) -> dict[Place, nn.Module]:
    """Those that a LoRA may change and that `chosen` (component, name) wants."""
    components = [name for name in ("unet", "text_encoder", "text_encoder_2") if getattr(pipeline, name, None) is not None]
    return {(component, name): module for component in components
            for name, module in getattr(pipeline, component).named_modules()
            if isinstance(module, nn.Linear | nn.Conv2d) and chosen(component, name)}


def factors(module: nn.Module, rank: int) -> dict[str, Tensor]:
    out, *rest = module.weight.shape
    return {"down": 0.2 * torch.randn(rank, *rest), "up": 0.2 * torch.randn(out, rank, *[1] * (len(rest) - 1))}


def random_lora(chosen: dict[Place, nn.Module]) -> Lora:
    return {place: factors(module, 2 + index % 2) for index, (place, module) in enumerate(chosen.items())}


def within_text_model(component: str, name: str) -> str:
    """As text encoders' modules were named before transformers 5."""
    return name if component == "unet" or name.startswith("text_") else f"text_model.{name}"


def kohya_stem(component: str, name: str, first_encoder: str = "te") -> str:
    prefix = {"unet": "unet", "text_encoder": first_encoder, "text_encoder_2": "te2"}[component]
    return f"lora_{prefix}_{within_text_model(component, name).replace('.', '_')}"


def kohya(lora: Lora, alphas, **settings) -> dict[str, Tensor]:
    """`alphas` by index of the module."""
    file = {}
    for index, ((component, name), pair) in enumerate(lora.items()):
        stem = kohya_stem(component, name, **settings)
        file |= {f"{stem}.lora_{part}.weight": tensor for part, tensor in pair.items()}
        file[f"{stem}.alpha"] = torch.tensor(alphas(index))
    return file


def peft_file(lora: Lora) -> dict[str, Tensor]:
    return {f"{component}.{within_text_model(component, name)}.lora_{letter}.weight": pair[part]
            for (component, name), pair in lora.items() for letter, part in (("A", "down"), ("B", "up"))}


def diffusers_stem(component: str, name: str) -> str:
    return f"{component}.{within_text_model(component, name)}.{'lora' if component == 'unet' else 'lora_linear_layer'}"


def diffusers_file(lora: Lora) -> dict[str, Tensor]:
    return {f"{diffusers_stem(*place)}.{part}.weight": tensor
            for place, pair in lora.items() for part, tensor in pair.items()}


def processors_file(lora: Lora) -> dict[str, Tensor]:
    """As attention processors of old were saved, which had no other layers than the four of an attention."""
    to = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}
    file = {}
    for (component, name), pair in lora.items():
        owner, layer = name.removesuffix(".0").rsplit(".", 1)
        if component == "unet" and ".attn" in name:
            stem = f"unet.{owner}.processor.{layer}_lora"
        elif "self_attn" in name:
            stem = f"{component}.{within_text_model(component, owner)}.{to[layer]}_lora"
        else:
            stem = diffusers_stem(component, name)
        file |= {f"{stem}.{part}.weight": tensor for part, tensor in pair.items()}
    return file


def original_keys(channels: list, depths: list, blocks: int, added: bool = False) -> list[str]:
    """Parameters of the original U-Net (openaimodel.py, in its order of construction). `depths` are the transformer's
    by level, 0 for none."""
    def residual(place: str, skips: bool) -> list[str]:
        names = ["in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3"]
        return [f"{place}.{name}" for name in names + ["skip_connection"] * skips]

    def transformer(place: str, depth: int) -> list[str]:
        block = ["norm1", "attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "norm2", "attn2.to_q", "attn2.to_k",
                 "attn2.to_v", "attn2.to_out.0", "norm3", "ff.net.0.proj", "ff.net.2"]
        return [f"{place}.{name}" for name in ("norm", "proj_in", "proj_out")] + [
            f"{place}.transformer_blocks.{index}.{name}" for index in range(depth) for name in block]

    names = ["time_embed.0", "time_embed.2", "input_blocks.0.0"] + ["label_emb.0.0", "label_emb.0.2"] * added
    widths, width, place = [channels[0]], channels[0], 1
    for level, wide in enumerate(channels):
        for _ in range(blocks):
            names += residual(f"input_blocks.{place}.0", width != wide)
            names += transformer(f"input_blocks.{place}.1", depths[level]) if depths[level] else []
            width, place = wide, place + 1
            widths.append(width)
        if level + 1 < len(channels):
            names.append(f"input_blocks.{place}.0.op")
            widths.append(width)
            place += 1
    names += residual("middle_block.0", False) + residual("middle_block.2", False)
    names += transformer("middle_block.1", max(depths[-1], depths[-2]))
    place = 0
    for level in reversed(range(len(channels))):
        for index in range(blocks + 1):
            names += residual(f"output_blocks.{place}.0", width + widths.pop() != channels[level])
            names += transformer(f"output_blocks.{place}.1", depths[level]) if depths[level] else []
            width = channels[level]
            if level and index == blocks:
                names.append(f"output_blocks.{place}.{2 if depths[level] else 1}.conv")
            place += 1
    return names + ["out.0", "out.2"]


def original_names(unet: UNet2DConditionModel, keys: list[str]) -> dict[str, str]:
    """Module in diffusers -> in the original U-Net, by diffusers' own conversion of checkpoints. Fails unless these are
    all modules of the U-Net."""
    checkpoint = {f"model.diffusion_model.{key}.{part}": key for key in keys for part in ("weight", "bias")}
    converted = convert_ldm_unet_checkpoint(checkpoint, unet.config)
    names = {name.removesuffix(".weight"): key for name, key in converted.items() if name.endswith(".weight")}
    wanted = {name.removesuffix(".weight") for name in unet.state_dict() if name.endswith(".weight")}
    assert set(names) == wanted, set(names) ^ wanted
    return names
