"""Samplers that step from timestep to timestep, as diffusers has them."""

import numpy as np


def alphas_cumprod(case):
    b0, b1, count = case["beta_start"], case["beta_end"], case["train_steps"]
    betas = np.linspace(b0**0.5, b1**0.5, count) ** 2 if case["kind"] == "scaled_linear" else np.linspace(b0, b1, count)
    if case["zero_terminal_snr"]:  # Lin et al. 2305.08891, algorithm 1
        root = np.sqrt(np.cumprod(1 - betas))
        return ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    return np.cumprod(1 - betas)


def x0_eps(r, x, ab, m):
    a, s = np.sqrt(ab), np.sqrt(1 - ab)
    kind = r.case["prediction"]
    x0 = m if kind == "sample" else a * x - s * m if kind == "v" else (x - s * m) / a
    eps = m if kind == "epsilon" else a * m + s * x if kind == "v" else (x - a * m) / s
    if "threshold_ratio" in r.case:
        limit = np.quantile(np.abs(x0).reshape(len(x0), -1), r.case["threshold_ratio"], axis=1)
        limit = np.clip(limit, 1, r.case["threshold_max"]).reshape(-1, 1, 1, 1)
        return np.clip(x0, -limit, limit) / limit, eps
    limit = r.case.get("clip_sample", np.inf)
    return np.clip(x0, -limit, limit), eps


class Pndm:
    """Liu et al. 2202.09778: transfer is eq. 11."""

    def __init__(self, r):
        self.r, self.ab = r, alphas_cumprod(r.case)
        self.final = 1.0 if r.case["set_alpha_to_one"] else self.ab[0]
        self.times = [int(t) for t in r.all_timesteps]
        self.ratio = r.case["train_steps"] // r.steps

    def transfer(self, x, t, to, e):
        """e is a mean of the network's outputs: diffusers turns v into eps only here, with the x it moves."""
        at, ap = self.ab[t], self.ab[to] if to >= 0 else self.final
        if self.r.case["prediction"] == "v":
            e = np.sqrt(at) * e + np.sqrt(1 - at) * x
        return np.sqrt(ap / at) * x - (ap - at) * e / (at * np.sqrt(1 - ap) + np.sqrt(at * (1 - at) * ap))


def multistep_mean(e):
    weights = {1: [1], 2: [3 / 2, -1 / 2], 3: [23 / 12, -16 / 12, 5 / 12], 4: [55 / 24, -59 / 24, 37 / 24, -9 / 24]}[min(len(e), 4)]
    return sum(w * d for w, d in zip(weights, e))


def plms(r):
    p, x, history = Pndm(r), r.x, []
    for k, t in enumerate(p.times):
        e = r.raw(x)
        if k == 1:  # the first step again, with the mean of both its ends
            x = p.transfer(start, t + p.ratio, t, (e + history[0]) / 2)
        else:
            history, start = [e, *history], x
            x = p.transfer(x, t, t - p.ratio, multistep_mean(history))
        yield x


def pndm(r):
    p, x, history = Pndm(r), r.x, []
    for group in range(0, 12, 4):
        total, start, base = 0, x, p.times[group]
        for k, weight in enumerate((1 / 6, 1 / 3, 1 / 3, 1 / 6)):
            t = p.times[group + k]
            e = r.raw(x)
            total = total + weight * e
            if k == 0:
                history = [e, *history]
            x = p.transfer(start, base, t if k % 2 else t - p.ratio // 2, total if k == 3 else e)
            yield x
    for t in p.times[12:]:
        history = [r.raw(x), *history]
        x = p.transfer(x, t, t - p.ratio, multistep_mean(history))
        yield x


def lcm(r):
    ab, x, times = alphas_cumprod(r.case), r.x, [int(t) for t in r.all_timesteps]
    for i, t in enumerate(times):
        x0 = x0_eps(r, x, ab[t], r.raw(x))[0]
        x = 10 * t / np.sqrt((10 * t) ** 2 + 0.25) * x0 + 0.25 / ((10 * t) ** 2 + 0.25) * x
        if i != r.steps - 1:
            to = ab[times[min(i + 1, len(times) - 1)]]
            x = np.sqrt(to) * x + np.sqrt(1 - to) * next(r.noise)
        yield x


def tcd(r):
    ab, x, times, eta = alphas_cumprod(r.case), r.x, [int(t) for t in r.all_timesteps], r.options["eta"]
    for i, t in enumerate(times):
        x0, eps = x0_eps(r, x, ab[t], r.raw(x))
        prev = times[i + 1] if i + 1 < len(times) else 0
        s = ab[int(np.floor(np.float32(1 - eta) * np.float32(prev)))]
        x = np.sqrt(s) * x0 + np.sqrt(1 - s) * eps
        if eta > 0 and i != r.steps - 1:
            x = np.sqrt(ab[prev] / s) * x + np.sqrt(1 - ab[prev] / s) * next(r.noise)
        yield x


def ipndm(r):
    x, history = r.x, []
    for i in range(r.begin, r.steps):
        a, s, to_a, to_s = r.alphas[i], r.betas[i], r.alphas[i + 1], r.betas[i + 1]
        history = [s * x + a * r.raw(x), *history]
        e = multistep_mean(history)
        x = to_a * (x - s * e) / max(a, 1e-8) + to_s * e
        yield x
