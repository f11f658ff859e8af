"""Samplers of y = x0 + sigma eps, as diffusers has them."""

import numpy as np


def ancestral(sigma, to, eta=1.0):
    up = min(to, eta * np.sqrt(to**2 * max(sigma**2 - to**2, 0) / sigma**2))
    return np.sqrt(to**2 - up**2), up


def euler(r):
    return flow_euler(r) if r.flow else churned_euler(r)


def flow_euler(r):
    x = r.x
    for sigma, to in r.pairs():
        v = r.raw(x)
        x = (1 - to) * (x - sigma * v) + to * next(r.noise) if r.options.get("stochastic") else x + (to - sigma) * v
        yield x


def churned_euler(r):
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
        y = y + r.slope(y, sigma) * (down - sigma) + up * next(r.noise)
        yield y


def heun(r):
    y = r.x
    for sigma, to in r.pairs():
        d = r.slope(y, sigma)
        end = y + d * (to - sigma)
        if to > 0:
            end = y + (d + r.slope(end, to)) / 2 * (to - sigma)
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
    d = r.slope(y, sigma)
    if to == 0:
        return y - sigma * d
    middle = np.sqrt(sigma * to)
    inner = y + d * (middle - sigma)
    return y + r.slope(inner, middle) * (to - sigma)


def lms(r):
    y, history = r.x, []
    for i, (sigma, to) in enumerate(r.pairs(), r.begin):
        order = min(i + 1, r.options.get("order", 4))
        history = [r.slope(y, sigma), *history][: r.options.get("order", 4)]
        points, weights = np.polynomial.legendre.leggauss(4)
        tau, weights = sigma + (to - sigma) * (points + 1) / 2, weights * (to - sigma) / 2
        for j, d in enumerate(history[:order]):
            others = [r.sigmas[i - k] for k in range(order) if k != j]
            y = y + d * sum(weights * np.prod([(tau - s) / (r.sigmas[i - j] - s) for s in others], axis=0))
        yield y


def dpmpp_sde(r):
    y = r.x
    for sigma, to in r.pairs():
        y = dpmpp_sde_step(r, y, sigma, to)
        yield y


def dpmpp_sde_step(r, y, sigma, to, eta=1.0, s_noise=1.0):
    """With r = 1/2 the second half needs only the network's output in the middle."""
    d = r.denoised(y, sigma)
    if to == 0:
        return d
    middle = np.sqrt(sigma * to)
    inner = dpmpp_sde_half(r, y, d, sigma, middle, eta, s_noise)
    return dpmpp_sde_half(r, y, r.denoised(inner, middle), sigma, to, eta, s_noise)


def dpmpp_sde_half(r, y, d, sigma, to, eta, s_noise):
    down, up = ancestral(sigma, to, eta)
    return down / sigma * y + (1 - down / sigma) * d + (up * s_noise * next(r.noise) if eta else 0)
