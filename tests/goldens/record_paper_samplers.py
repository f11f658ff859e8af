"""Writes down what the papers of samplers without a reference library say: tests/goldens/paper_samplers.safetensors.

Independent of darkroom and of ComfyUI: numpy in float64, integrals by adaptive quadrature, on Stable Diffusion's schedule
with levels interpolated in log sigma. Format: golden_common.py; the state is y = x0 + sigma eps, convention "k".

  er_sde         Cui et al. 2309.06169: ER-SDE-Solver-1, -2 and -3 as evaluations to look back on come in, with the noise
                 scale phi(r) = r (exp(r^0.3) + 10), r = sigma/alpha, derivatives of D over r by backward differences:
                 x' = k x + (1 - k) D + (dr + phi' I0) D1 + (dr^2 / 2 + phi' I1) D2 + noise, k = phi' / phi, I0 and I1 the
                 integrals of 1/phi and (r - r_start)/phi (which the authors and ComfyUI replace by sums of rectangles)
  res_multistep  Zhang et al. 2308.02157: x' = e^-h x + h (b1 D + b2 D_old), b2 = phi_2(-h) / c_2, b1 = phi_1(-h) - b2,
                 c_2 < 0 the place of the evaluation before in units of h; with eta > 0 the ancestral steps of k-diffusion,
                 and then c_2 counts from where the last deterministic part ended (ComfyUI)

Run with the Python environment of scripts/requirements.txt:  python tests/goldens/record_paper_samplers.py
"""

import numpy
import torch
from golden_common import BETAS, SHAPES, Goldens, case_of, covering, seeded
from scipy.integrate import quad

STEPS = (10, 5, 3, 2, 1)
SCHEDULES = ("karras", "normal", "exponential")


class Schedule:
    def __init__(self):
        b = BETAS["sd"]
        betas = torch.linspace(b["beta_start"] ** 0.5, b["beta_end"] ** 0.5, 1000) ** 2  # the table is float32
        bars = torch.cumprod(1 - betas, 0).double().numpy()
        self.logs = numpy.log((1 - bars) / bars) / 2

    def timestep(self, sigma):
        return numpy.interp(numpy.log(sigma), self.logs, numpy.arange(1000))

    def grid(self, name, n):
        high, low, u = self.logs[-1], self.logs[0], numpy.linspace(0, 1, n)
        if name == "exponential":
            sigmas = numpy.exp(high + u * (low - high))
        elif name == "normal":
            sigmas = numpy.exp(numpy.interp(999 * (1 - u), numpy.arange(1000), self.logs))
        else:
            sigmas = (numpy.exp(high / 7) + u * (numpy.exp(low / 7) - numpy.exp(high / 7))) ** 7
        return numpy.append(sigmas, 0)


class Walk:
    """One case: the network, the noise drawn, the timesteps told."""

    def __init__(self, schedule, case):
        self.schedule, self.case, self.generator = schedule, case, seeded(case["name"])
        self.shape, self.noise, self.told = SHAPES[case["shape"]], [], []
        self.sigmas = schedule.grid(case["schedule"], case["steps"])

    def normal(self):
        return torch.randn(self.shape, generator=self.generator).double().numpy()

    def draw(self):
        self.noise.append(self.normal())
        return self.noise[-1]

    def denoised(self, y, sigma):
        self.told.append(self.schedule.timestep(sigma))
        u = y / numpy.sqrt(sigma**2 + 1)
        raw = 0.7 * numpy.sin(u) + 0.2 * numpy.cos(3 * u) * self.told[-1] / 1000
        if self.case["prediction"] == "epsilon":
            return y - sigma * raw
        return y / (sigma**2 + 1) - raw * sigma / numpy.sqrt(sigma**2 + 1)

    def tensors(self, function):
        start = self.normal() * self.sigmas[0]
        samples = list(function(self, start, self.case["options"]))
        result = {"x": start, "samples": numpy.stack(samples)} | ({"noise": numpy.stack(self.noise)} if self.noise else {})
        result = {key: torch.from_numpy(value).float() for key, value in result.items()}
        exact = {"sigmas": self.sigmas, "timesteps": numpy.array(self.told), "init": numpy.array(self.sigmas[0])}
        return result | {key: torch.from_numpy(value) for key, value in exact.items()}


def phi(r):
    return r * (numpy.exp(r**0.3) + 10)


def er_sde(walk, y, options):
    known = []  # (sigma, D), the newest first
    for sigma, to in zip(walk.sigmas, walk.sigmas[1:]):
        d = walk.denoised(y, sigma)
        known = [(sigma, d), *known][:3]
        if to == 0:
            yield d
            return
        keep = phi(to) / phi(sigma)
        y = keep * y + (1 - keep) * d
        if len(known) > 1:
            slope = (d - known[1][1]) / (sigma - known[1][0])
            integral = quad(lambda r: 1 / phi(r), to, sigma, epsabs=1e-13, epsrel=1e-13, limit=200)[0]
            y = y + (to - sigma + phi(to) * integral) * slope
        if len(known) > 2:
            before = (known[1][1] - known[2][1]) / (known[1][0] - known[2][0])
            curve = (slope - before) / ((sigma - known[2][0]) / 2)
            moment = quad(lambda r: (r - sigma) / phi(r), to, sigma, epsabs=1e-13, epsrel=1e-13, limit=200)[0]
            y = y + ((to - sigma) ** 2 / 2 + phi(to) * moment) * curve
        y = y + options.get("s_noise", 1) * numpy.sqrt(to**2 - (keep * sigma) ** 2) * walk.draw()
        yield y


def ancestral(sigma, to, eta):
    up = min(to, eta * numpy.sqrt(to**2 * (sigma**2 - to**2) / sigma**2))
    return numpy.sqrt(to**2 - up**2), up


def res_multistep(walk, y, options):
    eta, old = options.get("eta", 0), None
    for i, (sigma, to) in enumerate(zip(walk.sigmas, walk.sigmas[1:])):
        d = walk.denoised(y, sigma)
        down, up = ancestral(sigma, to, eta)
        if old is None or down == 0:
            y = d + (y - d) / sigma * down
        else:
            h = numpy.log(sigma / down)
            c2 = numpy.log(old_down / walk.sigmas[i - 1]) / h
            phi1 = (1 - numpy.exp(-h)) / h
            phi2 = (1 - phi1) / h
            y = numpy.exp(-h) * y + h * ((phi1 - phi2 / c2) * d + phi2 / c2 * old)
        if up > 0:
            y = y + options.get("s_noise", 1) * up * walk.draw()
        old, old_down = d, down
        yield y


SAMPLERS = {
    "er_sde": (er_sde, {"s_noise": (1.0, 1.003, 0.5)}),
    "res_multistep": (res_multistep, {"eta": (0.0, 1.0, 0.5), "s_noise": (1.0, 1.003)}),
}


def main():
    goldens, schedule = Goldens(), Schedule()
    for sampler, (function, options) in SAMPLERS.items():
        defaults = {key: values[0] for key, values in options.items()}
        rows = list(covering({"schedule": SCHEDULES, "prediction": ("epsilon", "v"), **options, "steps": STEPS}))
        for row in [*rows, {"steps": 20, "schedule": "karras", "shape": "even"}]:
            case = case_of(sampler, row, defaults) | {"convention": "k"}
            goldens.add(case, Walk(schedule, case).tensors(function))
    goldens.save(__file__)


if __name__ == "__main__":
    main()
