"""Records what diffusers' DDPM and DDIM schedulers do, step by step: tests/goldens/samplers.safetensors.

Run with the Python environment of scripts/requirements.txt:  python tests/goldens/record_samplers.py

Each case holds its start `CASE/x` and, per step, the timestep, the sample after the step and, where one was drawn, the
noise. Metadata: `versions`, and `cases`, a JSON list of {name, sampler, schedule, ...} that names the settings in the
terms of darkroom's own WalkOptions and SamplerOptions. The denoiser is a toy both sides can compute:
0.7 sin(x) + 0.2 cos(3x) t/T, read as whatever the case's prediction type says; a learned variance is sin(2x).
`noise/DTYPE` is what randn_tensor draws, twice, at that dtype for the seeds 5 and 4294967295.
"""

import json
import pathlib

import diffusers
import numpy
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.schedulers import scheduling_ddim, scheduling_ddpm
from diffusers.utils.torch_utils import randn_tensor
from safetensors.torch import save_file

OUTPUT = pathlib.Path(__file__).with_name("samplers.safetensors")
SD = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
DDPM_LINEAR = dict(beta_schedule="linear", beta_start=1e-4, beta_end=0.02)
COSINE = dict(beta_schedule="squaredcos_cap_v2")
SIGMOID = dict(beta_schedule="sigmoid", beta_start=1e-4, beta_end=0.02)
TRAINED = dict(trained_betas=[float(b) for b in numpy.linspace(0.001, 0.03, 100)], num_train_timesteps=100)
SHAPES = {"even": (2, 4, 8, 8), "odd": (1, 3, 5, 7)}  # 105 elements: not a multiple of 16
KINDS = {"squaredcos_cap_v2": "cosine"}
PREDICTIONS = {"epsilon": "epsilon", "v_prediction": "v", "sample": "sample"}


def ddim_cases():
    base = dict(clip_sample=False, prediction_type="epsilon", **SD)
    for spacing in ("leading", "trailing", "linspace"):
        for steps in (1, 2, 3, 7, 10):
            yield f"{spacing}-{steps}", steps, 0.0, "even", base | dict(timestep_spacing=spacing)
    yield "sd", 10, 0.0, "even", base | dict(steps_offset=1, set_alpha_to_one=False)
    yield "sd-eta-half", 10, 0.5, "even", base | dict(steps_offset=1, set_alpha_to_one=False)
    yield "eta-one", 10, 1.0, "odd", base
    yield "eta-one-trailing", 7, 1.0, "even", base | dict(timestep_spacing="trailing")
    yield "not-dividing", 13, 0.0, "even", base | dict(timestep_spacing="trailing")
    yield "twenty", 20, 0.0, "odd", base | dict(steps_offset=1)
    yield "fifty", 50, 0.3, "odd", base
    for prediction in ("v_prediction", "sample"):
        yield prediction, 5, 0.0, "even", base | dict(prediction_type=prediction)
    yield "clip", 7, 0.0, "even", base | dict(clip_sample=True)
    yield "clip-range", 7, 0.5, "even", base | dict(clip_sample=True, clip_sample_range=0.4)
    yield "threshold", 7, 0.0, "even", base | dict(thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=1.5)
    yield "threshold-under-one", 7, 0.0, "odd", base | dict(thresholding=True, dynamic_thresholding_ratio=0.87, sample_max_value=0.5)
    yield "linear", 10, 0.0, "even", base | DDPM_LINEAR
    yield "cosine", 10, 0.0, "even", base | COSINE | dict(beta_start=0.0001)
    yield "trained", 10, 0.5, "even", base | TRAINED
    yield "zero-snr", 10, 0.0, "even", base | dict(rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing")
    yield "zero-snr-eta", 7, 0.5, "odd", base | dict(rescale_betas_zero_snr=True, prediction_type="sample", timestep_spacing="trailing")


def ddpm_cases():
    base = dict(clip_sample=False, prediction_type="epsilon", **SD)
    for spacing in ("leading", "trailing", "linspace"):
        for steps in (1, 2, 3, 7, 10):
            yield f"{spacing}-{steps}", steps, 0.0, "even", base | dict(timestep_spacing=spacing)
    for variance in ("fixed_small", "fixed_large", "learned_range"):
        yield variance, 7, 0.0, "odd", base | dict(variance_type=variance)
        yield f"{variance}-offset", 10, 0.0, "even", base | dict(variance_type=variance, steps_offset=1)
    yield "learned-thousand-linear", 50, 0.0, "odd", base | DDPM_LINEAR | dict(variance_type="learned_range")
    for prediction in ("v_prediction", "sample"):
        yield prediction, 5, 0.0, "even", base | dict(prediction_type=prediction)
    yield "clip", 7, 0.0, "even", base | dict(clip_sample=True)
    yield "threshold", 7, 0.0, "even", base | dict(thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=1.5)
    yield "linear", 10, 0.0, "even", base | DDPM_LINEAR
    yield "cosine", 10, 0.0, "even", base | COSINE | dict(beta_start=0.0001)
    yield "sigmoid", 10, 0.0, "even", base | SIGMOID
    yield "trained", 10, 0.0, "even", base | TRAINED
    yield "zero-snr", 10, 0.0, "even", base | dict(rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing")


def network(x, t, total, learned):
    raw = 0.7 * torch.sin(x) + 0.2 * torch.cos(3 * x) * (float(t) / total)
    return torch.cat([raw, torch.sin(2 * x)], 1) if learned else raw


def run(sampler, module, scheduler, steps, eta, shape):
    """Start, and (timestep, sample, noise or None) of every step."""
    drawn = []

    def recording(draw):
        def draw_and_keep(*args, **kwargs):
            drawn.append(draw(*args, **kwargs))
            return drawn[-1]

        return draw_and_keep

    original = module.randn_tensor
    module.randn_tensor = recording(original)
    try:
        scheduler.set_timesteps(steps)
        generator = torch.Generator("cpu").manual_seed(7)
        x = start = torch.randn(shape, generator=generator)
        kwargs = {"eta": eta} if sampler == "ddim" else {}
        rows = []
        for t in scheduler.timesteps:
            drawn.clear()
            learned = scheduler.config.get("variance_type") == "learned_range"
            raw = network(x, t, scheduler.config.num_train_timesteps, learned)
            x = scheduler.step(raw, t, x, generator=generator, **kwargs).prev_sample
            rows.append((int(t), x, drawn[-1] if drawn else None))
        return start, rows
    finally:
        module.randn_tensor = original


def describe(name, sampler, scheduler, steps, eta):
    """The settings in darkroom's terms."""
    config = scheduler.config
    case = {
        "name": name,
        "sampler": sampler,
        "kind": "trained" if config.trained_betas is not None else KINDS.get(config.beta_schedule, config.beta_schedule),
        "beta_start": config.beta_start,
        "beta_end": config.beta_end,
        "train_steps": config.num_train_timesteps,
        "betas": list(config.trained_betas) if config.trained_betas is not None else [],
        "zero_terminal_snr": config.rescale_betas_zero_snr,
        "spacing": config.timestep_spacing,
        "steps": steps,
        "steps_offset": config.steps_offset,
        "set_alpha_to_one": config.get("set_alpha_to_one", True),
        "prediction": PREDICTIONS[config.prediction_type],
        "variance": config.get("variance_type", "fixed_small"),
        "eta": eta,
    }
    if config.thresholding:
        case |= {"threshold_ratio": config.dynamic_thresholding_ratio, "threshold_max": config.sample_max_value}
    elif config.clip_sample:
        case |= {"clip_sample": config.clip_sample_range}
    return case


def drawn_noise():
    for name, dtype in {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}.items():
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in (5, 4294967295)]
        yield f"noise/{name}", torch.stack([randn_tensor((2, 3, 5, 7), generators, dtype=dtype) for _ in range(2)])


def main():
    tensors, cases = dict(drawn_noise()), []
    families = (("ddim", DDIMScheduler, scheduling_ddim, ddim_cases), ("ddpm", DDPMScheduler, scheduling_ddpm, ddpm_cases))
    for sampler, scheduler_class, module, matrix in families:
        for short, steps, eta, shape, config in matrix():
            name = f"{sampler}/{short}"
            scheduler = scheduler_class(**config)
            start, rows = run(sampler, module, scheduler, steps, eta, SHAPES[shape])
            assert all(x.isfinite().all() for _, x, _ in rows), name  # upstream: NaN for zero SNR at eta 1
            cases.append(describe(name, sampler, scheduler, steps, eta))
            tensors[f"{name}/x"] = start
            tensors[f"{name}/timesteps"] = torch.tensor([t for t, _, _ in rows])
            tensors[f"{name}/samples"] = torch.stack([x for _, x, _ in rows])
            noise = [z for _, _, z in rows if z is not None]
            if noise:
                tensors[f"{name}/noise"] = torch.stack(noise)
            tensors[f"{name}/alphas_cumprod"] = scheduler.alphas_cumprod[:: max(1, len(scheduler.alphas_cumprod) // 50)].clone()
    versions = {"torch": torch.__version__, "diffusers": diffusers.__version__, "numpy": numpy.__version__}
    save_file(tensors, OUTPUT, metadata={"versions": json.dumps(versions), "cases": json.dumps(cases)})
    print(f"{len(cases)} cases, {OUTPUT.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
