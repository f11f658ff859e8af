"""Records what diffusers decodes in tiles: tests/goldens/tiles.safetensors.

    PYTHONPATH=scripts .deps/python/bin/python tests/goldens/record_tiles.py

For the decoder of tests/models/tiny. Metadata: `versions`, and `tiles`, the side of a tile in latents by case. Per case: NAME/latents
(1,4,h,w), scaled as the decoder takes them; NAME/image and NAME/whole (1,3,height,width), decoded in tiles and at once."""

import json
from pathlib import Path

import diffusers
import torch
from pipeline_models import tiny
from safetensors.torch import save_file

CASES = {"even": (8, (1, 4, 20, 14)), "odd": (4, (1, 4, 9, 11)), "one": (16, (1, 4, 12, 16))}


@torch.no_grad()
def main() -> None:
    vae = tiny().vae
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    generator, tensors = torch.Generator().manual_seed(1), {}
    for name, (tile, shape) in CASES.items():
        latents = torch.randn(shape, generator=generator)
        vae.tile_latent_min_size, vae.tile_sample_min_size = tile, tile * factor
        vae.disable_tiling()
        tensors |= {f"{name}/latents": latents, f"{name}/whole": vae.decode(latents).sample}
        vae.enable_tiling()
        tensors[f"{name}/image"] = vae.decode(latents).sample
    versions = {"diffusers": diffusers.__version__, "torch": torch.__version__}
    metadata = {"versions": json.dumps(versions), "tiles": json.dumps({name: tile for name, (tile, _) in CASES.items()})}
    save_file({key: value.contiguous() for key, value in tensors.items()}, Path(__file__).with_name("tiles.safetensors"), metadata)


if __name__ == "__main__":
    main()
