"""Computes the samplers of the SDE view of diffusion from their paper: tests/goldens/sde_samplers.safetensors.

golden_common.py says what a case holds; `samples` are computed in float64. Equations and algorithms are those of Song et
al. 2011.13456, in the variable y = x0 + sigma eps (their VE SDE, f = 0 and g^2 dt = d sigma^2).
Run with the Python environment of scripts/requirements.txt:  python tests/goldens/record_sde_samplers.py
"""

import numpy as np
import scipy
import torch
from golden_common import SHAPES, Goldens, case_of, network, seeded
from scipy.integrate import solve_ivp

DEFAULTS = {"ode": {"rtol": 1e-3, "atol": 1e-3}, "pc": {"snr": 0.16, "corrector_steps": 1}}


class Levels:
    """sigma at every trained timestep, from float32 tables as everywhere, and the timestep of a sigma by its logarithm
    (k-diffusion's sigma_to_t)."""

    def __init__(self, case):
        b0, b1, count = case["beta_start"], case["beta_end"], case["train_steps"]
        betas = torch.linspace(b0**0.5, b1**0.5, count) ** 2 if case["kind"] == "scaled_linear" else torch.linspace(b0, b1, count)
        ab = torch.cumprod(1 - betas, 0)
        self.trained = ((1 - ab) / ab).sqrt().double().numpy()

    def timestep(self, sigma):
        return np.interp(np.log(sigma), np.log(self.trained), np.arange(len(self.trained)))

    def grid(self, case):
        count, n = len(self.trained), case["steps"]
        if case["schedule"] == "trailing":
            sigmas = self.trained[np.rint(np.arange(count, 0, -count / n)).astype(int) - 1]
        elif case["schedule"] == "karras":
            high, low = self.trained[-1] ** (1 / 7), self.trained[0] ** (1 / 7)
            sigmas = np.linspace(high, low, n) ** 7
        else:
            sigmas = np.interp(np.linspace(count - 1, 0, n), np.arange(count), self.trained)
        return [*sigmas, 0.0]


def eps_of(y, sigma, timestep, prediction):
    a = 1 / np.sqrt(1 + sigma**2)
    m = network(torch.from_numpy(a * y), timestep).numpy()
    return m if prediction == "epsilon" else a * m + sigma * a * (a * y)


def ode(case, levels, y, _):
    """Eq. 13, dy/dsigma = -sigma score = eps, down to the least trained sigma; from there straight to x0."""

    def slope(sigma, flat):
        return eps_of(flat.reshape(y.shape), sigma, levels.timestep(sigma), case["prediction"]).ravel()

    sigmas = levels.grid(case)
    for sigma, to in zip(sigmas, sigmas[1:]):
        end = to or levels.trained[0]
        if end < sigma:
            y = solve_ivp(slope, (sigma, end), y.ravel(), "DOP853", rtol=1e-11, atol=1e-11).y[:, -1].reshape(y.shape)
        if to == 0:
            y = y - end * slope(end, y.ravel()).reshape(y.shape)
        yield y


def pc(case, levels, y, draw):
    """Alg. 2 with the step size of alg. 4, a norm for each image. The last step is its mean."""
    snr, correctors = (case["options"].get(name, DEFAULTS["pc"][name]) for name in ("snr", "corrector_steps"))

    def score(y, sigma):
        return -eps_of(y, sigma, levels.timestep(sigma), case["prediction"]) / sigma

    def norm(v):
        return np.sqrt(np.sum(v**2, axis=(1, 2, 3), keepdims=True))

    sigmas = levels.grid(case)
    for sigma, to in zip(sigmas, sigmas[1:]):
        y = y + (sigma**2 - to**2) * score(y, sigma)
        if to > 0:
            y = y + np.sqrt(sigma**2 - to**2) * draw()
            for _ in range(correctors):
                g, z = score(y, to), draw()
                step = 2 * (snr * norm(z) / norm(g)) ** 2
                y = y + step * g + np.sqrt(2 * step) * z
        yield y


CASES = {
    ode: [
        {"schedule": "linspace", "steps": 5, "rtol": 1e-5, "atol": 1e-5},
        {"schedule": "linspace", "steps": 2, "prediction": "v", "rtol": 1e-5, "atol": 1e-5},
        {"schedule": "trailing", "steps": 3, "betas": "linear", "rtol": 1e-4, "atol": 1e-5},
        {"schedule": "karras", "steps": 4, "prediction": "v", "rtol": 1e-5, "atol": 1e-4},
        {"schedule": "linspace", "steps": 10, "shape": "even"},
    ],
    pc: [
        {"schedule": "linspace", "steps": 10},
        {"schedule": "linspace", "steps": 5, "corrector_steps": 0},
        {"schedule": "trailing", "steps": 7, "prediction": "v", "corrector_steps": 2, "betas": "linear"},
        {"schedule": "karras", "steps": 10, "prediction": "v", "snr": 0.3, "shape": "even"},
        {"schedule": "karras", "steps": 5, "corrector_steps": 3, "snr": 0.1},
    ],
}


def main():
    goldens = Goldens()
    for sampler, rows in CASES.items():
        for row in rows:
            case = case_of(sampler.__name__, row, DEFAULTS[sampler.__name__])
            levels, generator, drawn = Levels(case), seeded(case["name"]), []

            def draw():
                drawn.append(torch.randn(SHAPES[case["shape"]], generator=generator))
                return drawn[-1].double().numpy()

            sigmas = levels.grid(case)
            start = torch.randn(SHAPES[case["shape"]], generator=generator) * sigmas[0]
            samples = [torch.from_numpy(y).float() for y in sampler(case, levels, start.double().numpy(), draw)]
            tensors = {"x": start, "sigmas": torch.tensor(sigmas), "init": torch.tensor(sigmas[0]), "samples": torch.stack(samples)}
            goldens.add(case, tensors | ({"noise": torch.stack(drawn)} if drawn else {}))
    goldens.save(__file__, scipy=scipy.__version__)


if __name__ == "__main__":
    main()
