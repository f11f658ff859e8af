#!/usr/bin/env python3
"""Makes the shipped model from the font: `train.py all`, or one stage. Each stage resumes from its last checkpoint."""

import argparse
import importlib
from pathlib import Path

import torch

import common

STAGES = ["classifier", "autoencoder", "text_encoder", "latents", "decoder", "denoiser", "pipeline", "evaluate"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["all", *STAGES])
    parser.add_argument(
        "--folder", type=Path, default=common.DEFAULT_FOLDER, help="checkpoints and logs (default: %(default)s)"
    )
    parser.add_argument("--minutes", type=float, help="wall-clock budget of the stage, instead of its number of steps")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.folder.mkdir(parents=True, exist_ok=True)
    for stage in STAGES if options.stage == "all" else [options.stage]:
        importlib.import_module(stage).train(options.folder, options.minutes)


if __name__ == "__main__":
    main()
