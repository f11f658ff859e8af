"""Records k-diffusion's samplers on Stable Diffusion's schedule: tests/goldens/k_samplers.safetensors (golden_common.py).

Levels lie between the trained ones, interpolated in log sigma; `timesteps` are as fractional as k-diffusion's
CompVisDenoiser and CompVisVDenoiser make them. The state is y = x0 + sigma eps. Samplers that would walk a Brownian path
are given unit noise. k-diffusion also draws where it multiplies by zero (no churn in this step; eta 0): such draws are
left out of `noise`. dpm_adaptive has a row of `samples` per attempt, with `accepted`, `errors` (of the step against its
tolerance), `reached` (the sigma after the attempt) and `sigmas`, the two ends.

Run with the Python environment of scripts/requirements.txt:  python tests/goldens/record_k_samplers.py
It downloads the k-diffusion wheel with pip (or takes the path of one) and imports its sampling.py and external.py alone.
"""

import hashlib
import importlib
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest.mock

import torch
from golden_common import BETAS, SHAPES, Goldens, case_of, covering, network, seeded

VERSION = "0.1.1.post1"
WHEEL = f"k_diffusion-{VERSION}-py3-none-any.whl"
SHA256 = "b4bdcc74e35dd66df5d25433ea76b19edeaeaf2aad05ed97438be447cf4f5ee1"
SCHEDULES = ("karras", "normal", "exponential", "polyexponential", "simple", "sgm_uniform")
STEPS = (10, 5, 3, 2, 1)
CHURN = {"s_churn": 0.0, "s_tmin": 0.0, "s_tmax": float("inf"), "s_noise": 1.0}
ANCESTRAL = {"eta": 1.0, "s_noise": 1.0}


def download(folder):
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, f"k-diffusion=={VERSION}"], check=True)
    return pathlib.Path(folder) / WHEEL


def load(wheel):
    """k_diffusion.sampling and k_diffusion.external, without the package's other modules and what those need."""
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == SHA256, wheel
    package = types.ModuleType("k_diffusion")
    package.__path__ = [f"{wheel}/k_diffusion"]
    unused = {name: types.ModuleType(name) for name in ("torchdiffeq", "torchsde")}
    unused["torchdiffeq"].odeint = None
    sys.modules |= {"k_diffusion": package, **unused}
    sampling = importlib.import_module("k_diffusion.sampling")
    return sampling, importlib.import_module("k_diffusion.external")


class Model:
    """What CompVisDenoiser wraps; keeps the timesteps it is told."""

    def __init__(self):
        b = BETAS["sd"]
        betas = torch.linspace(b["beta_start"] ** 0.5, b["beta_end"] ** 0.5, 1000) ** 2
        self.alphas_cumprod, self.told = torch.cumprod(1 - betas, 0), []

    def apply_model(self, x, t, cond=None):
        self.told.append(float(t[0]))
        return network(x, self.told[-1])


def sigmas_of(sampling, model, case):
    schedule, n = case["schedule"], case["steps"]
    lowest, highest, trained = float(model.sigma_min), float(model.sigma_max), model.sigmas
    if schedule == "normal":
        return model.get_sigmas(n)
    if schedule == "simple":
        return sampling.append_zero(torch.stack([trained[-1 - int(i * len(trained) / n)] for i in range(n)]))
    if schedule == "sgm_uniform":
        t = torch.linspace(float(model.sigma_to_t(model.sigma_max)), float(model.sigma_to_t(model.sigma_min)), n + 1)[:-1]
        return sampling.append_zero(model.t_to_sigma(t))
    return getattr(sampling, f"get_sigmas_{schedule}")(n, lowest, highest, **({"rho": case["rho"]} if "rho" in case else {}))


def states_of(sampling, run):
    """The state after each step of `run`: the sampler's x at the start of each iteration of its loop, and its result."""
    states = []

    def watched_range(count, **_):
        for i in range(count):
            states.append(sys._getframe(1).f_locals["x"])
            yield i

    with unittest.mock.patch.object(sampling, "trange", watched_range):
        states.append(run())
    return states[1:]


def cover(least_steps=1, **factors):
    steps = [n for n in STEPS if n >= least_steps]
    factors = {"schedule": SCHEDULES, "prediction": ("epsilon", "v")} | factors
    yield from covering(factors | {"steps": steps})
    yield {"steps": 20, "schedule": "karras", "prediction": "v"}
    yield {name: values[-1] for name, values in factors.items()} | {"steps": 6, "schedule": "karras", "shape": "even"}


def curves():
    yield from cover()
    yield {"steps": 5, "schedule": "karras", "rho": 5.0}
    yield {"steps": 5, "schedule": "polyexponential", "rho": 2.0}  # with the default of 1 it is exponential


def churned():
    yield from cover(s_churn=(0.0, 4.0), s_noise=(1.0, 1.003))
    yield {"steps": 10, "schedule": "karras", "s_churn": 4.0, "s_tmin": 0.3, "s_tmax": 8.0}
    yield {"steps": 5, "schedule": "normal", "s_churn": 40.0}


def ancestral(**factors):
    return cover(eta=(1.0, 0.5, 0.0), s_noise=(1.0, 1.003), **factors)


def multistep_sde(**factors):  # upstream fails on a single step, whose h it never sets
    return ancestral(least_steps=2, **factors)


def two_back():
    return multistep_sde(solver=("midpoint", "heun"))


def adaptive():
    yield from covering({"order": (3, 2), "prediction": ("epsilon", "v"), "eta": (0.0, 0.5, 1.0), "rtol": (0.05, 0.01)})
    yield {"rtol": 0.01, "pcoeff": 0.2, "icoeff": 0.4, "dcoeff": 0.1}
    yield {"h_init": 2.0, "rtol": 0.002, "atol": 0.001, "shape": "even"}
    yield {"eta": 1.0, "s_noise": 1.003}


SAMPLERS = {
    "euler": ("euler", churned, CHURN),
    "heun": ("heun", churned, CHURN),
    "dpm2": ("dpm_2", churned, CHURN),
    "euler_a": ("euler_ancestral", ancestral, ANCESTRAL),
    "dpm2_a": ("dpm_2_ancestral", ancestral, ANCESTRAL),
    "lms": ("lms", lambda: cover(order=(4, 2)), {"order": 4}),
    "dpm++2m": ("dpmpp_2m", curves, {}),
    "dpm++2m_sde": ("dpmpp_2m_sde", two_back, ANCESTRAL | {"solver": "midpoint"}),
    "dpm++3m_sde": ("dpmpp_3m_sde", multistep_sde, ANCESTRAL),
    "dpm++2s_a": ("dpmpp_2s_ancestral", ancestral, ANCESTRAL),
    "dpm++sde": ("dpmpp_sde", ancestral, ANCESTRAL),
}
ADAPTIVE = {"order": 3, "rtol": 0.05, "atol": 0.0078, "h_init": 0.05, "pcoeff": 0.0, "icoeff": 1.0, "dcoeff": 0.0}
ADAPTIVE |= {"eta": 0.0, "s_noise": 1.0}


class Run:
    """One walk: the model, its start and its noise."""

    def __init__(self, external, case):
        self.model = Model()
        self.denoiser = (external.CompVisVDenoiser if case["prediction"] == "v" else external.CompVisDenoiser)(self.model)
        self.generator, self.shape, self.drawn = seeded(case["name"]), SHAPES[case["shape"]], []
        self.x = torch.randn(self.shape, generator=self.generator)
        self.arguments = {"extra_args": {"cond": None}, "disable": True}
        self.arguments |= {"solver_type" if key == "solver" else key: value for key, value in case["options"].items()}

    def draw(self, *_):
        self.drawn.append(torch.randn(self.shape, generator=self.generator))
        return self.drawn[-1]

    def result(self, start, samples, used, **tensors):
        noise = [z for z, keep in zip(self.drawn, used, strict=True) if keep]
        tensors |= {"noise": torch.stack(noise)} if noise else {}
        return tensors | {"x": start, "timesteps": torch.tensor(self.model.told, dtype=torch.float64), "samples": torch.stack(samples)}


def record(sampling, external, function, case, options):
    run, options = Run(external, case), options | case["options"]
    sigmas = sigmas_of(sampling, run.denoiser, case)
    start = run.x * sigmas[0]
    sampler = getattr(sampling, f"sample_{function}")
    if "eta" in options:
        run.arguments["noise_sampler"] = run.draw
    calls = []

    def go():
        return sampler(run.denoiser, start, sigmas, callback=lambda _: calls.append(len(run.model.told)), **run.arguments)

    with unittest.mock.patch.object(torch, "randn_like", run.draw):
        samples = states_of(sampling, go)
    if "s_churn" in options:
        used = [options["s_churn"] > 0 and options["s_tmin"] <= sigma <= options["s_tmax"] for sigma in sigmas[:-1]]
    else:
        used = [options["eta"] > 0 for _ in run.drawn] if "eta" in options else []
    ends = [*(n - 1 for n in calls[1:]), len(run.model.told)]  # the callback follows the first call of its step
    counts = {"calls_per_step": torch.tensor([b - a for a, b in zip([0, *ends], ends)])} if len(run.model.told) > len(samples) else {}
    return run.result(start, samples, used, sigmas=sigmas, init=sigmas[0].double(), **counts)


def record_adaptive(sampling, external, case):
    run, attempts = Run(external, case), []
    lowest, highest = float(run.denoiser.sigma_min), float(run.denoiser.sigma_max)
    start = run.x * highest
    run.arguments |= {"noise_sampler": run.draw, "callback": attempts.append}
    sampling.sample_dpm_adaptive(run.denoiser, start, lowest, highest, **run.arguments)
    column = lambda key: torch.tensor([float(a[key]) for a in attempts], dtype=torch.float64)
    accepted = column("n_accept").diff(prepend=torch.zeros(1, dtype=torch.float64)).long()
    used = [case["options"].get("eta", 0) > 0 for _ in run.drawn]
    ends = torch.tensor([highest, lowest], dtype=torch.float64)
    columns = {"accepted": accepted, "errors": column("error"), "reached": column("sigma")}
    return run.result(start, [a["x"] for a in attempts], used, sigmas=ends, init=ends[0], **columns)


def main(wheel):
    sampling, external = load(wheel)
    goldens = Goldens()
    for sampler, (function, rows, options) in SAMPLERS.items():
        for row in rows():
            case = case_of(sampler, row, options) | {"convention": "k"}
            goldens.add(case, record(sampling, external, function, case, options))
    for row in adaptive():
        case = case_of("dpm_adaptive", row | {"schedule": "adaptive", "steps": 0, "final": "sigma_min"}, ADAPTIVE) | {"convention": "k"}
        goldens.add(case, record_adaptive(sampling, external, case))
    goldens.save(__file__, **{"k-diffusion": VERSION})


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else download(folder))
