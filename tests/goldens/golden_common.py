"""What the sampler recorders share: the toy network, covering sets of settings, and a walk through a diffusers scheduler.

A case names its settings in darkroom's terms and holds, under its name in the safetensors file:
  x           the start, in the variable the class walks in, already multiplied by `init`
  init        the factor that makes unit noise a start
  sigmas      the grid, final value included (N + 1 values; a class that repeats entries for its half steps is thinned)
  timesteps   what the network was told, one entry per call
  samples     the state after every whole grid step (PNDM: after every call)
  calls_per_step  network calls of every row of `samples`, where they are not all one
  noise       the z drawn, in order, where any were
Metadata: `versions`, and `cases`, a JSON list. `schedule` is a spacing, or a sigma curve on the spacing `spacing`
(default linspace), or "sigmas" or "timesteps" for a list given under that key. `begin` starts at that grid step. Only
options that differ from diffusers' defaults are named. The network is 0.7 sin(u) + 0.2 cos(3u) t/T of the input u it
sees, read as the prediction type says.
"""

import importlib
import itertools
import json
import pathlib
import unittest.mock
import zlib

import diffusers
import numpy
import torch
from safetensors.torch import save_file

TRAIN_STEPS = 1000
BETAS = {
    "sd": {"kind": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    "linear": {"kind": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    "flow": {"kind": "flow", "beta_start": 0.0, "beta_end": 0.0},
}
SHAPES = {"odd": (1, 2, 3, 5), "even": (2, 4, 4, 4)}  # 30 elements: not a multiple of 16
PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction", "sample": "sample", "flow": "flow_prediction"}
SPACINGS = ("leading", "trailing", "linspace")
CURVES = {"karras": "use_karras_sigmas", "exponential": "use_exponential_sigmas", "beta": "use_beta_sigmas", "lu": "use_lu_lambdas"}
CONFIG_OPTIONS = {"order": "solver_order", "solver": "solver_type"}
CONFIG_OPTIONS |= {name: name for name in ("lower_order_final", "euler_at_final", "disable_corrector")}


def network(u, t, total=TRAIN_STEPS):
    return 0.7 * torch.sin(u) + 0.2 * torch.cos(3 * u) * (t / total)


def covering(factors, allowed=lambda row: True):
    """Rows such that every allowed pair of values of two factors occurs in one: the first value wherever nothing is left
    to cover. A pair that no allowed row holds is dropped. Pairs of the first factors are covered first."""
    names = list(factors)
    wanted = {((a, x), (b, y)): None for a, b in itertools.combinations(names, 2) for x in factors[a] for y in factors[b]}

    def complete(row):
        """Allowed row with the most pairs still wanted, by filling one factor after the other."""
        for name in names:
            if name in row:
                continue
            choices = [row | {name: value} for value in factors[name]]
            gain = lambda r: sum(pair in wanted for pair in itertools.combinations([(n, r[n]) for n in names if n in r], 2))
            for choice in sorted(choices, key=gain, reverse=True):
                full = complete(choice)
                if full:
                    return full
            return None
        return row if allowed(row) else None

    while wanted:
        pair = next(iter(wanted))
        row = complete(dict(pair))
        if row is None:
            del wanted[pair]
            continue
        for covered in itertools.combinations([(name, row[name]) for name in names], 2):
            wanted.pop(covered, None)
        yield row


def case_of(sampler, row, options):
    """The settings of a row in darkroom's terms, and a name made of what is unusual about them."""
    row = dict(row)
    schedule, _, spacing = row.pop("schedule", "linspace").partition("@")
    betas, shape, offset = row.pop("betas", "sd"), row.pop("shape", "odd"), row.pop("steps_offset", 0)
    case = {
        "sampler": sampler,
        "convention": "diffusers",
        **BETAS[betas],
        "train_steps": TRAIN_STEPS,
        "betas": [],
        "zero_terminal_snr": row.pop("zero_terminal_snr", False),
        "schedule": schedule,
        "steps": row.pop("steps"),
        "steps_offset": offset,
        "final": row.pop("final", "zero"),
        "prediction": row.pop("prediction", "epsilon"),
        "options": {key: row.pop(key) for key in list(row) if key in options and row[key] != options[key]},
        "shape": shape,
    }
    if spacing:
        case["spacing"] = spacing
    for key in options:
        row.pop(key, None)
    case |= row
    words = [schedule + (f"-{spacing}" if spacing else ""), str(case["steps"]), case["prediction"]]
    words += [f"off{offset}"] * bool(offset) + [betas] * (betas == "linear")
    words += [case["final"]] * (case["final"] == "sigma_min") + ["zsnr"] * case["zero_terminal_snr"]
    words += [f"{key}_{value}" for key, value in case["options"].items()]
    words += [f"{key}_{value}" for key, value in row.items() if isinstance(value, (int, float, str))]
    words += [shape] * (shape != "odd")
    return {"name": f"{sampler}/{'-'.join(words)}"} | case


def scheduler_of(cls, case, **fixed):
    """The class with the case's settings, as far as it knows them."""
    known = set(cls.__init__.__wrapped__.__code__.co_varnames)
    betas = {"beta_schedule": case["kind"], "beta_start": case["beta_start"], "beta_end": case["beta_end"]}
    config = {
        **(betas if case["kind"] != "flow" else {}),
        "num_train_timesteps": case["train_steps"],
        "prediction_type": PREDICTIONS[case["prediction"]],
        "rescale_betas_zero_snr": case["zero_terminal_snr"],
        "steps_offset": case["steps_offset"],
        "final_sigmas_type": case["final"],
        "timestep_spacing": case["schedule"] if case["schedule"] in SPACINGS else case.get("spacing", "linspace"),
    }
    config = {key: value for key, value in config.items() if key in known}
    if case["schedule"] in CURVES:
        config[CURVES[case["schedule"]]] = True
    config |= {CONFIG_OPTIONS[key]: value for key, value in case["options"].items() if CONFIG_OPTIONS.get(key) in known}
    config |= {key: case[key] for key in ("sigma_min", "sigma_max") if key in case}
    if "threshold_ratio" in case:
        config |= {"thresholding": True, "dynamic_thresholding_ratio": case["threshold_ratio"], "sample_max_value": case["threshold_max"]}
    if "clip_sample" in case:
        config |= {"clip_sample": True, "clip_sample_range": case["clip_sample"]}
    # Constructors compute a grid of T steps, which takes seconds in some classes and is thrown away.
    original = cls.set_timesteps
    with unittest.mock.patch.object(cls, "set_timesteps", lambda self, *_: original(self, 2)):
        return cls(**config | fixed)


def set_timesteps(scheduler, case, **arguments):
    if case["schedule"] in ("sigmas", "timesteps"):
        arguments[case["schedule"]] = numpy.array(case[case["schedule"]])  # UniPC fails on a list
    else:
        arguments["num_inference_steps"] = case["steps"]
    scheduler.set_timesteps(**arguments)


class recorded_noise:
    """While it lasts, keeps what the scheduler's module draws through randn_tensor."""

    def __init__(self, scheduler):
        self.module = importlib.import_module(type(scheduler).__module__)
        self.drawn = []

    def __enter__(self):
        self.original = getattr(self.module, "randn_tensor", None)

        def draw(*args, **kwargs):
            self.drawn.append(self.original(*args, **kwargs))
            return self.drawn[-1]

        self.module.randn_tensor = draw
        return self.drawn

    def __exit__(self, *_):
        self.module.randn_tensor = self.original


def seeded(name):
    return torch.Generator("cpu").manual_seed(zlib.crc32(name.encode()))


def start_of(scheduler, case, generator):
    """Unit noise times init; in the middle of a walk, an image with the noise of that level."""
    noise = torch.randn(SHAPES[case["shape"]], generator=generator)
    index = case.get("begin", 0) * scheduler.order
    if index:
        scheduler.set_begin_index(index)
    if not index or not hasattr(scheduler, "add_noise"):
        return noise * getattr(scheduler, "init_noise_sigma", 1.0)
    image = 0.5 * torch.randn(noise.shape, generator=generator)
    return scheduler.add_noise(image, noise, scheduler.timesteps[index : index + 1].repeat(len(noise)))


def walk(scheduler, case, step_options=(), every_call=False):
    """The tensors of one case."""
    generator = seeded(case["name"])
    x = start = start_of(scheduler, case, generator)
    timesteps = scheduler.timesteps[case.get("begin", 0) * scheduler.order :]
    arguments = {key: value for key, value in case["options"].items() if key in step_options}
    if "generator" in scheduler.step.__code__.co_varnames:
        arguments["generator"] = generator
    samples = []
    with recorded_noise(scheduler) as drawn:
        for t in timesteps:
            u = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
            x = scheduler.step(network(u, float(t)), t, x, **arguments).prev_sample
            samples.append(x)
    result = {"x": start, "timesteps": timesteps.double()}
    result["init"] = torch.tensor(float(getattr(scheduler, "init_noise_sigma", 1.0)), dtype=torch.float64)
    sigmas = getattr(scheduler, "sigmas", None)
    if scheduler.order == 2:
        whole = [*range(1, len(samples), 2), len(samples) - 1] if len(samples) > 1 else [0]
        result["calls_per_step"] = torch.tensor([2] * (len(whole) - 1) + [1])
        samples = [samples[i] for i in whole]
        sigmas = torch.cat([sigmas[:1], sigmas[1::2]])[: case["steps"] + 1]
    if sigmas is not None:
        result["sigmas"] = sigmas
        assert sigmas[-1] == 0 or case["final"] == "sigma_min" or "invert_sigmas" in case.get("flow", {}), case["name"]
        assert len(samples) == len(sigmas) - 1 - case.get("begin", 0), case["name"]
    result["samples"] = torch.stack(samples)
    if drawn:
        result["noise"] = torch.stack(drawn)
    return result


class Goldens:
    def __init__(self):
        self.tensors, self.cases = {}, []

    def add(self, case, tensors):
        assert case["name"] not in {c["name"] for c in self.cases}, case["name"]
        for key, value in tensors.items():
            assert value.isfinite().all(), f"{case['name']}: {key}"
            self.tensors[f"{case['name']}/{key}"] = value.contiguous().clone()
        self.cases.append(case)

    def save(self, script, **versions):
        """Beside the script, under its name without record_."""
        script = pathlib.Path(script)
        output = script.with_name(script.stem.removeprefix("record_") + ".safetensors")
        versions |= {"torch": torch.__version__, "diffusers": diffusers.__version__, "numpy": numpy.__version__}
        save_file(self.tensors, output, metadata={"versions": json.dumps(versions), "cases": json.dumps(self.cases)})
        counts = {c["sampler"]: sum(d["sampler"] == c["sampler"] for d in self.cases) for c in self.cases}
        assert max(counts.values()) <= 60, counts
        print(output.name, f"{output.stat().st_size / 1e6:.2f} MB,", len(self.cases), "cases:", counts)
