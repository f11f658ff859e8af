"""A U-Net's inputs for a ControlNet: residual_0, residual_1, ..., added to its skip connections, and residual_mid, added
behind its middle block. Zeros of the shape (1, 1, 1, 1) stand for none."""

import torch
from torch import Tensor


def residual_roles(unet) -> list[str]:
    """`unet` is its configuration."""
    return [*(f"residual_{index}" for index in range(len(skip_connections(unet)))), "residual_mid"]


def residual_arguments(given: dict[str, Tensor]) -> dict:
    """Of UNet2DConditionModel, from inputs by role."""
    residuals = [tensor for role, tensor in given.items() if role.startswith("residual_")]
    if not residuals:
        return {}
    return {"down_block_additional_residuals": tuple(residuals[:-1]), "mid_block_additional_residual": residuals[-1]}


def skip_connections(unet) -> list[tuple[int, int]]:
    """(channels, halvings of the size) of each: of what the first convolution and the blocks on the way down give."""
    blocks, layers = unet.block_out_channels, unet.layers_per_block
    layers = [layers] * len(blocks) if isinstance(layers, int) else layers
    skips = [(blocks[0], 0)]
    for level, (channels, count) in enumerate(zip(blocks, layers, strict=True)):
        skips += [(channels, level)] * count
        if level + 1 < len(blocks):
            skips.append((channels, level + 1))
    return skips


def example_residuals(unet, batch: int, rows: int, columns: int) -> dict[str, Tensor]:
    """By role; none for a batch of three. `rows` and `columns` are the latents'."""
    if batch == 3:
        return {role: torch.zeros(1, 1, 1, 1) for role in residual_roles(unet)}
    skips = skip_connections(unet)
    shapes = [(batch, channels, -(-rows // 2**halvings), -(-columns // 2**halvings))
              for channels, halvings in [*skips, skips[-1]]]
    return {role: 0.3 * torch.randn(shape) for role, shape in zip(residual_roles(unet), shapes, strict=True)}
