"""What model.json says about a Stable Diffusion pipeline. include/darkroom/model/manifest.h lists the keys."""

import hashlib
import json
from pathlib import Path

from diffusers import StableDiffusionPipeline

from .networks import Network

KINDS = {"linear": "linear", "scaled_linear": "scaled_linear", "squaredcos_cap_v2": "cosine", "sigmoid": "sigmoid"}
PREDICTIONS = {"epsilon": "epsilon", "v_prediction": "v", "sample": "sample"}
VARIANCES = ("fixed_small", "fixed_large", "learned_range")
SPACINGS = ("leading", "trailing", "linspace")


def write_merges(tokenizer, file: Path) -> None:
    """The merge rules, from which darkroom derives every id; throws where the tokenizer's ids are others."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    merges = [tuple(rule.split(" ")) if isinstance(rule, str) else tuple(rule) for rule in model["merges"]]
    symbols = byte_symbols()
    tokens = symbols + [symbol + "</w>" for symbol in symbols] + ["".join(rule) for rule in merges]
    tokens += [tokenizer.bos_token, tokenizer.eos_token]
    if {token: index for index, token in enumerate(tokens)} != tokenizer.get_vocab():
        raise ValueError("tokenizer: its ids are not those that follow from its merge rules, as CLIP's do")
    file.write_text("".join(" ".join(pair) + "\n" for pair in [("#version:", "0.2"), *merges]), encoding="utf-8")


def byte_symbols() -> list[str]:
    """The 256 bytes in the order of CLIP's vocabulary: printable ones as themselves, the others from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(256 - len(printable))]


def tokenizer_entry(tokenizer, file: Path) -> dict:
    if tokenizer.pad_token_id not in (0, tokenizer.eos_token_id):
        raise ValueError(f"tokenizer: pad_token {tokenizer.pad_token!r} is neither the end token nor id 0")
    return {"kind": "clip-bpe", "file": file.name, "sha256": sha256(file),
            "pad": "zero" if tokenizer.pad_token_id == 0 else "end", "length": tokenizer.model_max_length}


def network_entry(network: Network, file: Path, precision: str, activation_bytes_per_pixel: float) -> dict:
    return {"file": file.name, "sha256": sha256(file), "inputs": network.inputs, "outputs": network.outputs,
            "stored_precision": precision, "parameters": sum(p.numel() for p in network.module.parameters()),
            "activation_bytes_per_pixel": activation_bytes_per_pixel}


def stage_entry(pipeline: StableDiffusionPipeline, factor: int) -> dict:
    """The diffusion stage. The pipeline's constructor rewrites parts of the scheduler's configuration (steps_offset,
    clip_sample): what it holds now is what diffusers computes with."""
    config = pipeline.scheduler.config
    stage = {"kind": "diffusion", "denoiser": "unet",
             "state": [str(pipeline.unet.config.in_channels), f"h/{factor}", f"w/{factor}"],
             "prediction": known(config, "prediction_type", PREDICTIONS, "epsilon"),
             "variance": known(config, "variance_type", dict(zip(VARIANCES, VARIANCES)), "fixed_small"),
             "schedule": schedule_entry(config),
             "steps_offset": config.get("steps_offset", 0),
             "set_alpha_to_one": config.get("set_alpha_to_one", True)}
    # diffusers' own precedence: thresholding, where it is on, replaces clipping.
    if config.get("thresholding"):
        stage["thresholding"] = {"ratio": config.dynamic_thresholding_ratio, "max": config.sample_max_value}
    elif config.get("clip_sample"):
        stage["clip_sample"] = config.get("clip_sample_range", 1.0)
    return stage


def schedule_entry(config) -> dict:
    entry = {"steps": config.num_train_timesteps}
    if config.get("trained_betas") is not None:
        entry |= {"kind": "trained", "betas": [float(beta) for beta in config.trained_betas]}
    else:
        entry |= {"kind": known(config, "beta_schedule", KINDS), "beta_start": config.beta_start,
                  "beta_end": config.beta_end}
    return entry | {"zero_terminal_snr": config.get("rescale_betas_zero_snr", False)}


def defaults_entry(pipeline: StableDiffusionPipeline, factor: int) -> dict:
    """The checkpoint's own size and spacing; the other values are those of StableDiffusionPipeline's call."""
    size = pipeline.unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    spacings = dict(zip(SPACINGS, SPACINGS))
    return {"width": width * factor, "height": height * factor, "steps": 50, "cfg_scale": 7.5,
            "sampler": "ddpm" if type(pipeline.scheduler).__name__ == "DDPMScheduler" else "ddim",
            "schedule": known(pipeline.scheduler.config, "timestep_spacing", spacings, "leading")}


def known(config, key: str, values: dict, default: str | None = None) -> str:
    value = config.get(key, default)
    if value not in values:
        raise ValueError(f"scheduler/scheduler_config.json: {key}: {value!r} is not one of {', '.join(values)}")
    return values[value]


def sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
