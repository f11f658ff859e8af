"""The configurations that follow from the shapes of tensors in the original layout of latent diffusion (LDM, and SGM for
Stable Diffusion XL): blocks, widths and depths. What does not show in shapes comes from the family."""

import re
from collections.abc import Iterable

Shapes = dict[str, tuple[int, ...]]
UNET = "model.diffusion_model."
VAE = "first_stage_model."
HEAD_CHANNELS = 64  # of every text encoder, and of every U-Net but Stable Diffusion 1's


def under(shapes: Shapes, prefix: str) -> Shapes:
    return {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}


def indices(names: Iterable[str], pattern: str) -> list[int]:
    """The different numbers that the pattern's group takes in the names, ascending from 0. Throws ValueError for a gap."""
    found = sorted({int(match[1]) for name in names if (match := re.match(pattern, name))})
    if found != list(range(len(found))):
        gap = next(index for index, number in enumerate(found) if index != number)
        raise ValueError(f"the tensors of {pattern.replace(chr(92), '').replace('(d+)', str(gap))}* are missing")
    return found


def unet_config(shapes: Shapes, family: dict) -> dict:
    """`shapes` without their prefix. Throws KeyError, naming the tensor, where one is missing that says something."""
    depths_down, depths_up, channels = [[]], [[]], []
    for block in indices(shapes, r"input_blocks\.(\d+)\.")[1:]:
        if f"input_blocks.{block}.0.op.weight" in shapes:
            depths_down.append([])
        else:
            channels[len(depths_down) - 1 :] = [shapes[f"input_blocks.{block}.0.out_layers.0.weight"][0]]
            depths_down[-1].append(depth(shapes, f"input_blocks.{block}.1."))
    for block in indices(shapes, r"output_blocks\.(\d+)\."):
        depths_up[-1].append(depth(shapes, f"output_blocks.{block}.1."))
        if any(f"output_blocks.{block}.{part}.conv.weight" in shapes for part in (1, 2)):
            depths_up.append([])
    attended = [any(depths) for depths in depths_down]
    middle = depth(shapes, "middle_block.1.")
    projections = [shape for name, shape in shapes.items() if name.endswith(".1.proj_in.weight")]
    config = {
        "sample_size": family["sample_size"],
        "in_channels": shapes["input_blocks.0.0.weight"][1], "out_channels": shapes["out.2.weight"][0],
        "block_out_channels": channels, "layers_per_block": len(depths_down[0]),
        "down_block_types": ["CrossAttnDownBlock2D" if yes else "DownBlock2D" for yes in attended],
        "up_block_types": ["CrossAttnUpBlock2D" if any(depths) else "UpBlock2D" for depths in depths_up],
        "mid_block_type": "UNetMidBlock2DCrossAttn" if middle else None,
        "cross_attention_dim": next(shape[1] for name, shape in shapes.items() if name.endswith(".attn2.to_k.weight")),
        "use_linear_projection": len(projections[0]) == 2,
        "attention_head_dim": family.get("heads") or [max(1, width // HEAD_CHANNELS) for width in channels],
        **transformer_depths(depths_down, depths_up, middle),
    }
    if "label_emb.0.0.weight" in shapes:
        config |= {"addition_embed_type": "text_time", "addition_time_embed_dim": 256,
                   "projection_class_embeddings_input_dim": shapes["label_emb.0.0.weight"][1]}
    return config


def depth(shapes: Shapes, prefix: str) -> int:
    """Of the transformer there; 0: none."""
    return len(indices(shapes, re.escape(prefix) + r"transformer_blocks\.(\d+)\."))


def transformer_depths(down: list[list[int]], up: list[list[int]], middle: int) -> dict:
    """As diffusers writes them: alike in a block and mirrored on the way up, or one by one. The middle block's is the
    last one's."""
    if any(down[-1]) and middle not in (0, down[-1][0]):
        raise ValueError(f"the U-Net's middle transformer has {middle} layers and the block's before it {down[-1][0]}, "
                         "which diffusers has no words for")
    alike = all(len(set(depths)) == 1 for depths in [*down, *up])
    if alike and [depths[0] for depths in up] == [depths[0] for depths in reversed(down)]:
        lists = [depths[0] or 1 for depths in down]
        return {"transformer_layers_per_block": lists if any(down[-1]) else [*lists[:-1], middle or 1]}
    return {"transformer_layers_per_block": [depths if any(depths) else middle or 1 for depths in down],
            "reverse_transformer_layers_per_block": [depths if any(depths) else 1 for depths in up]}


def vae_config(shapes: Shapes, scaling_factor: float) -> dict:
    levels = indices(shapes, r"encoder\.down\.(\d+)\.")
    return {
        "block_out_channels": [shapes[f"encoder.down.{level}.block.0.conv1.weight"][0] for level in levels],
        "down_block_types": ["DownEncoderBlock2D"] * len(levels), "up_block_types": ["UpDecoderBlock2D"] * len(levels),
        "layers_per_block": len(indices(shapes, r"encoder\.down\.0\.block\.(\d+)\.")),
        "latent_channels": shapes["decoder.conv_in.weight"][1], "scaling_factor": scaling_factor,
        "force_upcast": True,
    }


def clip_config(shapes: Shapes, family: dict) -> dict:
    """Of transformers' layout, which Stable Diffusion 1 and XL's first encoder have."""
    layer = "text_model.encoder.layers."
    return text_config(shapes["text_model.embeddings.token_embedding.weight"],
                       shapes["text_model.embeddings.position_embedding.weight"],
                       shapes[layer + "0.mlp.fc1.weight"], len(indices(shapes, re.escape(layer) + r"(\d+)\.")), family)


def open_clip_config(shapes: Shapes, family: dict, projected: bool) -> dict:
    """Of OpenCLIP's layout. An encoder that no projection follows is Stable Diffusion 2's, which leaves out the last of
    24 layers."""
    layers = len(indices(shapes, r"transformer\.resblocks\.(\d+)\."))
    config = text_config(shapes["token_embedding.weight"], shapes["positional_embedding"],
                         shapes["transformer.resblocks.0.mlp.c_fc.weight"], layers, family)
    if projected:
        return config | {"projection_dim": shapes["text_projection"][1]}
    return config | {"num_hidden_layers": 23 if layers == 24 else layers}


def text_config(tokens: tuple, positions: tuple, inner: tuple, layers: int, family: dict) -> dict:
    vocabulary, width = tokens
    return {
        "vocab_size": vocabulary, "hidden_size": width, "intermediate_size": inner[0], "num_hidden_layers": layers,
        "num_attention_heads": max(1, width // HEAD_CHANNELS), "max_position_embeddings": positions[0],
        "hidden_act": family["hidden_act"], "bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1,
        "pad_token_id": 0 if family["pad"] == "!" else vocabulary - 1,
    }
