#!/usr/bin/env python3
"""Makes the shipped model from the font: `train.py all`, or one stage. Each stage goes on from its last checkpoint."""

import argparse
import importlib
import sys
from pathlib import Path

import torch

import common

STAGES = ["classifier", "autoencoder", "text_encoder", "latents", "denoiser", "decoder", "pipeline", "export", "evaluate"]
STOPPED = 75  # exit status when the call's minutes were over (EX_TEMPFAIL): call again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["all", *STAGES])
    parser.add_argument(
        "--folder", type=Path, default=common.DEFAULT_FOLDER, help="checkpoints and logs (default: %(default)s)"
    )
    parser.add_argument("--minutes", type=float, help="stop after this long, save, and exit with status 75: call again")
    parser.add_argument("--steps", type=int, help="length of the stage, instead of the recipe's")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.folder.mkdir(parents=True, exist_ok=True)
    options = common.Options(given.folder, torch.device(given.device), given.minutes, given.steps)
    try:
        for stage in STAGES if given.stage == "all" else [given.stage]:
            importlib.import_module(stage).train(options)
    except common.OutOfTime:
        sys.exit(STOPPED)


if __name__ == "__main__":
    main()
