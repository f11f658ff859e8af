"""The samplers' formulas once more, in float64 and as few lines as their papers: what the recorded walks are held against.

Each function yields the state after every grid step. It takes levels, timesteps and noise from the recording, in order,
and everything else from the formula.
"""

import numpy as np


class Recording:
    """One case: its tensors as float64, read in the order in which a sampler asks for them."""

    def __init__(self, case, tensors):
        self.case, self.options = case, case["options"]
        self.x, self.samples = tensors["x"], tensors["samples"]
        self.sigmas = tensors.get("sigmas")
        self.timesteps = iter(tensors["timesteps"])
        self.noise = iter(tensors.get("noise", ()))
        self.begin, self.steps = case.get("begin", 0), case["steps"]

    def raw(self, u):
        return 0.7 * np.sin(u) + 0.2 * np.cos(3 * u) * (next(self.timesteps) / self.case["train_steps"])

    def denoised(self, y, sigma):
        """D(y; sigma), for y = x0 + sigma eps."""
        m = self.raw(y / np.sqrt(sigma**2 + 1))
        if "clip_sample" in self.case:
            limit = self.case["clip_sample"]
            return np.clip(self.x0_ve(y, sigma, m), -limit, limit)
        return self.x0_ve(y, sigma, m)

    def x0_ve(self, y, sigma, m):
        if self.case["prediction"] == "epsilon":
            return y - sigma * m
        if self.case["prediction"] == "v":
            return y / (sigma**2 + 1) - m * sigma / np.sqrt(sigma**2 + 1)
        return m

    def pairs(self):
        return list(zip(self.sigmas, self.sigmas[1:]))[self.begin :]


def ancestral(sigma, to, eta=1.0):
    up = min(to, eta * np.sqrt(to**2 * max(sigma**2 - to**2, 0) / sigma**2))
    return np.sqrt(to**2 - up**2), up


def euler(r):
    y, o = r.x, r.options
    for sigma, to in r.pairs():
        inside = o.get("s_tmin", 0) <= sigma <= o.get("s_tmax", np.inf)
        gamma = min(o.get("s_churn", 0) / (len(r.sigmas) - 1), np.sqrt(2) - 1) if inside else 0
        hat = sigma * (1 + gamma)
        m = r.raw(y / np.sqrt(sigma**2 + 1))  # before the noise, as diffusers calls its network
        if gamma:
            y = y + next(r.noise) * o.get("s_noise", 1) * np.sqrt(hat**2 - sigma**2)
        d = r.x0_ve(y, hat if r.case["prediction"] == "epsilon" else sigma, m)
        y = y + (y - d) / hat * (to - hat)
        yield y


def euler_a(r):
    y = r.x
    for sigma, to in r.pairs():
        down, up = ancestral(sigma, to)
        y = y + (y - r.denoised(y, sigma)) / sigma * (down - sigma) + up * next(r.noise)
        yield y


def heun(r):
    y = r.x
    for sigma, to in r.pairs():
        d = (y - r.denoised(y, sigma)) / sigma
        end = y + d * (to - sigma)
        if to > 0:
            end = y + (d + (end - r.denoised(end, to)) / to) / 2 * (to - sigma)
        y = end
        yield y


def dpm2(r):
    y = r.x
    for sigma, to in r.pairs():
        y = dpm2_step(r, y, sigma, to)
        yield y


def dpm2_a(r):
    y = r.x
    for sigma, to in r.pairs():
        down, up = ancestral(sigma, to)
        y = dpm2_step(r, y, sigma, down)
        if to > 0:
            y = y + up * next(r.noise)
        yield y


def dpm2_step(r, y, sigma, to):
    d = (y - r.denoised(y, sigma)) / sigma
    if to == 0:
        return y - sigma * d
    middle = np.sqrt(sigma * to)
    inner = y + d * (middle - sigma)
    return y + (inner - r.denoised(inner, middle)) / middle * (to - sigma)


def lms(r):
    y, history = r.x, []
    for i, (sigma, to) in enumerate(r.pairs(), r.begin):
        order = min(i + 1, r.options.get("order", 4))
        history = [(y - r.denoised(y, sigma)) / sigma, *history][: r.options.get("order", 4)]
        points, weights = np.polynomial.legendre.leggauss(4)
        tau, weights = sigma + (to - sigma) * (points + 1) / 2, weights * (to - sigma) / 2
        for j, d in enumerate(history[:order]):
            others = [r.sigmas[i - k] for k in range(order) if k != j]
            y = y + d * sum(weights * np.prod([(tau - s) / (r.sigmas[i - j] - s) for s in others], axis=0))
        yield y


DIFFUSERS = {"euler": euler, "euler_a": euler_a, "heun": heun, "dpm2": dpm2, "dpm2_a": dpm2_a, "lms": lms}
