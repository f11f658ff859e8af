"""Command line of the exporter: everything is written to a temporary folder that is renamed at the end."""

import argparse
import json
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from . import checks, manifest
from .networks import stable_diffusion
from .trace import PRECISIONS, save_traced


def main() -> int:
    options = parse()
    try:
        export(options)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"export: {options.source}: {error}", file=sys.stderr)
        return 1
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/export", description=(
        "Exports a Stable Diffusion in the diffusers folder layout as a darkroom model folder, and checks every network "
        "against the original."))
    parser.add_argument("source", type=Path, help="the pipeline's folder, which holds model_index.json")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the model folder to make; must not exist")
    parser.add_argument("--name", help="default: the output folder's name")
    parser.add_argument("--license", default="unknown", help="of the weights")
    parser.add_argument("--summary", default="", help="one line")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp16", help="of the stored weights (default: fp16)")
    defaults = parser.add_argument_group("what darkroom does where its user says nothing (default: as diffusers)")
    defaults.add_argument("--width", type=int)
    defaults.add_argument("--height", type=int)
    defaults.add_argument("--steps", type=int)
    defaults.add_argument("--cfg-scale", type=float)
    defaults.add_argument("--sampler")
    defaults.add_argument("--schedule")
    return parser.parse_args()


def export(options: argparse.Namespace) -> None:
    if options.output.exists():
        raise ValueError(f"{options.output} exists already")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{options.output.name}.", dir=options.output.parent))
    try:
        write_model(options, load(options.source, options.precision), partial)
        partial.chmod(0o755)
        partial.rename(options.output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def load(source: Path, precision: str) -> StableDiffusionPipeline:
    """Rounded to the stored precision first, so that the checks see the weights that are stored."""
    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    if not (source / "model_index.json").is_file():
        raise ValueError("no diffusers pipeline folder: model_index.json is missing")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the rewriting that manifest.stage_entry tells of
        pipeline = StableDiffusionPipeline.from_pretrained(
            source, torch_dtype=PRECISIONS[precision], safety_checker=None, feature_extractor=None,
            requires_safety_checker=False, local_files_only=True)
    return pipeline.to(dtype=torch.float32)


def write_model(options: argparse.Namespace, pipeline: StableDiffusionPipeline, folder: Path) -> None:
    torch.manual_seed(0)
    factor = pipeline.vae_scale_factor
    defaults = manifest.defaults_entry(pipeline, factor)
    defaults |= {key: value for key in defaults if (value := getattr(options, key)) is not None}

    networks = {}
    down_factor = 2 ** (len(pipeline.unet.config.block_out_channels) - 1)
    for network in stable_diffusion(pipeline):
        file = folder / f"{network.name}.pt"
        save_traced(network, down_factor, options.precision, file)
        checks.check(network, down_factor, file)
        per_pixel = 0.0
        if network.name != "text":
            inputs = network.example(1, defaults["height"] // factor, defaults["width"] // factor)
            per_pixel = round(checks.peak_bytes(file, inputs) / (defaults["width"] * defaults["height"]), 1)
        networks[network.name] = manifest.network_entry(network, file, options.precision, per_pixel)
        print(f"export: {file.name}: {networks[network.name]['parameters']} parameters, checked", file=sys.stderr)

    merges = folder / "merges.txt"
    manifest.write_merges(pipeline.tokenizer, merges)
    vae = pipeline.vae.config
    model = {
        "format": 1,
        "name": options.name or options.output.name,
        "license": options.license,
        "summary": options.summary,
        "networks": networks,
        "tokenizers": {"clip": manifest.tokenizer_entry(pipeline.tokenizer, merges)},
        "conditioning": [{"role": "context", "from": ["text.hidden"], "tokenizer": "clip", "empty": "encode"}],
        "stages": [manifest.stage_entry(pipeline, factor)],
        "output": {"decoder": "decoder", "scale": vae.scaling_factor, "shift": vae.get("shift_factor") or 0,
                   "factor": factor},
        "defaults": defaults,
    }
    (folder / "model.json").write_text(json.dumps(model, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
