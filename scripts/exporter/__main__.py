"""Command line of the exporter."""

import argparse
import gc
import json
import math
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback of a Ctrl-C in the seconds that these imports take

import torch
from diffusers import DiffusionPipeline
from torch import nn

from . import checks, manifest
from .console import quieten_libraries, say
from .embedding import convert_embedding
from .folder import read_folder, read_vae, weights_read
from .lora import Lora
from .networks import Network, is_xl, networks_of, text_components
from .output import Stopping, whole_folder
from .scheduler import SAMPLER_NAMES, SPACING_NAMES
from .single_file import families, read_single_file, read_vae_file
from .source import Part, Source, shortened
from .tokenizer import tokenizer_entry, write_merges
from .trace import PRECISIONS, save_traced

gc.freeze()  # a million objects of the modules above, through which checks.release_memory() would go every time

MEASURED_LATENTS = 64  # rows and columns: more would take minutes, and memory grows as they do
MOST_PIXELS, MOST_STEPS = 16384, 1_000_000  # of a side, of a picture: as src/model/manifest.cpp


def main(words: list[str] | None = None) -> int:
    """The exit code: 0, 1 with a line that says why, 130 after a Ctrl-C or another request to stop."""
    options = parse(words)
    stopping = Stopping()
    try:
        if options.embedding:
            say(f"{options.output}: {convert_embedding(options.source, options.output)}")
        else:
            export(options)
    except (Exception, KeyboardInterrupt) as error:
        if stopping.asked:
            say("interrupted; nothing is left of it")
            return 130
        say(f"{options.source}: {cause_of(error)}")
        return 1
    return 0


def cause_of(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, (OSError, ValueError, RuntimeError)):
        return text
    frame = traceback.extract_tb(error.__traceback__)[-1]  # of a value that nobody thought of
    return f"cannot be exported: {type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}: {text}"


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/export", description=(
        "Exports a Stable Diffusion as a darkroom model folder, and checks every network against the original."))
    parser.add_argument("source", type=Path, help=(
        "a diffusers pipeline's folder, which holds model_index.json, or a .safetensors or .ckpt file in the original "
        "layout; no code in them is run"))
    parser.add_argument("-o", "--output", type=Path, required=True, help="the model folder to make; must not exist")
    parser.add_argument("--name", help="default: the output folder's name")
    parser.add_argument("--license", help="of the weights (default: what the source says)")
    parser.add_argument("--summary", default="", help="one line")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp16", help="of the stored weights (default: fp16)")
    parser.add_argument("--family", choices=families(), help=(
        "what a file holds, where its tensors do not tell: sd2 or sd2-v, the turbo kinds; of a folder, whose defaults"))
    parser.add_argument("--lora", action="append", default=[], metavar="FILE[:WEIGHT]", help=(
        "a LoRA to merge into the weights; may be given several times"))
    parser.add_argument("--controlnet-ready", action="store_true", help=(
        "give the U-Net inputs for what a ControlNet adds; without one, pictures stay as they are"))
    parser.add_argument("--vae", type=Path, help="the autoencoder to take instead: a diffusers folder or a file")
    parser.add_argument("--embedding", action="store_true", help=(
        "SOURCE is a textual inversion embedding, .pt or .bin, and OUTPUT the .safetensors file to make of it"))
    defaults = parser.add_argument_group("what darkroom does where its user says nothing (default: as diffusers)")
    defaults.add_argument("--width", type=count_to(MOST_PIXELS), metavar="PIXELS")
    defaults.add_argument("--height", type=count_to(MOST_PIXELS), metavar="PIXELS")
    defaults.add_argument("--steps", type=count_to(MOST_STEPS), metavar="N")
    defaults.add_argument("--cfg-scale", type=finite, metavar="X")
    defaults.add_argument("--sampler", choices=SAMPLER_NAMES, metavar="NAME", help=", ".join(SAMPLER_NAMES))
    defaults.add_argument("--schedule", choices=SPACING_NAMES, metavar="NAME", help=", ".join(SPACING_NAMES))
    return parser.parse_args(words)


def count_to(most: int) -> Callable[[str], int]:
    def count(word: str) -> int:
        if not word.isdecimal() or not 1 <= int(word) <= most:
            raise argparse.ArgumentTypeError(f"{word!r} is no whole number from 1 to {most}")
        return int(word)

    return count


def finite(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{word!r} is no finite number")
    return number


def export(options: argparse.Namespace) -> None:
    if options.output.exists():
        raise ValueError(f"{options.output} exists already")
    quieten_libraries()
    source = read(options)
    source.loras = [read_lora(word, source) for word in options.lora]
    with whole_folder(options.output) as folder:
        write_model(options, source, folder)


def read(options: argparse.Namespace) -> Source:
    vae = partial(read_other_vae, options.vae) if options.vae else None
    if options.source.is_dir():
        return read_folder(options.source, vae)
    source, options.family = read_single_file(options.source, options.family, vae)
    say(f"the file holds {families()[options.family]['summary']} ({options.family}); --family overrides this")
    return source


def read_lora(word: str, source: Source) -> Lora:
    lora = Lora(word, source.pipeline)
    if lora.unused:
        say(f"--lora {lora.file}: {len(lora.unused)} of its tensors change nothing in this model: "
            f"{shortened(lora.unused)}")
    return lora


def read_other_vae(place: Path, scaling_factor: float) -> Part:
    """`scaling_factor` is that of the autoencoder it replaces, for a file, which cannot say its own."""
    try:
        if place.is_dir():
            return read_vae(place)
        if (place.parent / "config.json").is_file() and place in weights_read(place.parent):
            return read_vae(place.parent)
        return read_vae_file(place, scaling_factor)
    except (ValueError, OSError) as error:
        raise ValueError(f"--vae {place}: {error}") from None


def write_model(options: argparse.Namespace, source: Source, folder: Path) -> None:
    torch.manual_seed(0)
    pipeline = source.pipeline
    networks = networks_of(pipeline, options.controlnet_ready)
    refuse_full_disk(networks, pipeline, options.precision, folder)
    factor = pipeline.vae_scale_factor
    defaults = manifest.defaults_entry(pipeline, factor)
    if options.family:
        defaults |= families()[options.family].get("defaults", {})
    given = {key: getattr(options, key, None) for key in defaults}
    defaults |= {key: value for key, value in given.items() if value is not None}
    refuse_odd_size(defaults, factor)
    model = {
        "format": 1,
        "name": options.name or options.output.name,
        "license": options.license or source.license or "unknown",
        "summary": options.summary,
        **({"merged": [lora.entry() for lora in source.loras]} if source.loras else {}),
        "networks": {},
        "tokenizers": write_tokenizers(pipeline, folder),
        "conditioning": manifest.conditioning_entries(pipeline),
        "stages": [manifest.stage_entry(pipeline, factor)],
        "output": manifest.output_entry(pipeline, factor),
        "defaults": defaults,
    }
    written(model)  # before the work, where it cannot be
    for network in networks:
        size = (defaults["height"], defaults["width"])
        entry = export_network(network, source, options.precision, size, folder / f"{network.name}.pt")
        model["networks"][network.name] = entry
        say(f"{entry['file']}: {entry['parameters']} parameters, checked at {', '.join(entry['precisions'])}")
        if len(entry["precisions"]) == len(PRECISIONS):
            del entry["precisions"]
    for file in source.license_files:
        shutil.copyfile(file, folder / file.name)
    (folder / "model.json").write_text(written(model), encoding="utf-8")


def written(model: dict) -> str:
    """Throws ValueError for NaN and infinity, which JSON has no words for."""
    return json.dumps(model, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def refuse_odd_size(defaults: dict, factor: int) -> None:
    for side in ("width", "height"):
        if defaults[side] % factor:
            raise ValueError(f"--{side} {defaults[side]}: no multiple of {factor}, as this model needs")


def refuse_full_disk(networks: list[Network], pipeline: DiffusionPipeline, precision: str, folder: Path) -> None:
    """Before the work, where its outcome is too much for the disk."""
    needed, free = 0, shutil.disk_usage(folder).free
    for network in networks:
        module = getattr(pipeline, network.component)
        count = sum(module.get_parameter(name).numel() for name in network.parameter_names(module))
        needed += count * PRECISIONS[stored_precision(network, pipeline, precision)].itemsize
    if needed > free:
        raise OSError(f"writing it takes {needed / 1e9:.1f} GB in {folder.parent}, where {free / 1e9:.1f} GB are free")


def stored_precision(network: Network, pipeline: DiffusionPipeline, precision: str) -> str:
    return "fp32" if precision == "fp16" and overflows(network, pipeline) else precision


def overflows(network: Network, pipeline: DiffusionPipeline) -> bool:
    """At fp16, as its own configuration says; of others the check finds it out."""
    return bool(network.component == "vae" and is_xl(pipeline) and pipeline.vae.config.force_upcast)


def export_network(network: Network, source: Source, precision: str, size: tuple[int, int], file: Path) -> dict:
    """Writes and checks the file; returns the network's entry in model.json. `size` is the pictures' height and
    width, for the memory they need."""
    pipeline = source.pipeline
    halves = [half for half in checks.HALVES if not (half == "fp16" and overflows(network, pipeline))]
    precision = stored_precision(network, pipeline, precision)
    say(f"{file.name}: loading")
    module = source.load(network.component, PRECISIONS[precision])
    refuse_broken_weights(network, module, precision)
    down_factor = 2 ** (len(pipeline.unet.config.block_out_channels) - 1)
    check = checks.Check(network, module, down_factor)
    say(f"{file.name}: tracing")
    save_traced(network, module, down_factor, precision, file)
    parameters = sum(module.get_parameter(name).numel() for name in check.names)
    del module  # a large network fits in memory once
    checks.release_memory()
    say(f"{file.name}: checking")
    precisions = check.run(file, halves)
    per_pixel = 0.0
    if network.name not in ("text", "text_2"):
        factor = pipeline.vae_scale_factor
        rows, columns = (min(pixels // factor, MEASURED_LATENTS) for pixels in size)
        peak = checks.peak_bytes(network, file, network.example(1, rows, columns))
        per_pixel = round(peak / (rows * columns * factor**2), 1)
    return manifest.network_entry(network, file, precision, precisions, parameters, per_pixel)


def refuse_broken_weights(network: Network, module: nn.Module, precision: str) -> None:
    broken = [name for name in network.parameter_names(module) if not module.get_parameter(name).isfinite().all()]
    if broken:
        hint = "; --precision fp32 or bf16 reaches further" if precision == "fp16" else ""
        raise ValueError(f"{network.component}: {len(broken)} tensors hold NaN or infinity at {precision}{hint}: "
                         f"{shortened(broken)}")


def write_tokenizers(pipeline, folder: Path) -> dict:
    """One file of merge rules where the tokenizers share them."""
    entries = {}
    for component in text_components(pipeline):
        positions = getattr(pipeline, component).config.max_position_embeddings
        _, name, attribute = manifest.TEXT_ENCODERS[component]
        tokenizer, file = getattr(pipeline, attribute), folder / f"merges{name.removeprefix('clip')}.txt"
        write_merges(tokenizer, file)
        entries[name] = tokenizer_entry(tokenizer, positions, file)
        for other in entries.values():
            if other["file"] != file.name and other["sha256"] == entries[name]["sha256"]:
                file.unlink()
                entries[name]["file"] = other["file"]
                break
    return entries


if __name__ == "__main__":
    sys.exit(main())
