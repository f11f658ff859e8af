"""Samplers of y = x0 + sigma eps, as k-diffusion has them: noise before the network, nothing after the last step."""

import numpy as np

from formulas.sigma import ancestral, dpmpp_sde_step


def churned(r, step):
    y, o = r.x, r.options
    for sigma, to in r.pairs():
        inside = o.get("s_tmin", 0) <= sigma <= o.get("s_tmax", np.inf)
        hat = sigma * (1 + (min(o.get("s_churn", 0) / r.steps, np.sqrt(2) - 1) if inside else 0))
        if hat > sigma:
            y = y + next(r.noise) * o.get("s_noise", 1) * np.sqrt(hat**2 - sigma**2)
        y = step(r, y, hat, to)
        yield y


def euler_step(r, y, sigma, to):
    return y + r.slope(y, sigma) * (to - sigma)


def heun_step(r, y, sigma, to):
    d = r.slope(y, sigma)
    end = y + d * (to - sigma)
    return y + (d + r.slope(end, to)) / 2 * (to - sigma) if to > 0 else end


def dpmpp_2s_step(r, y, sigma, to):
    d = r.denoised(y, sigma)
    if to == 0:
        return d
    middle = np.sqrt(sigma * to)
    inner = middle / sigma * y + (1 - middle / sigma) * d
    return to / sigma * y + (1 - to / sigma) * r.denoised(inner, middle)


def with_noise(r, step):
    """Any step to the lower of two levels, then noise up to the level asked for."""
    y, eta = r.x, r.options.get("eta", 1)
    for sigma, to in r.pairs():
        down, up = ancestral(sigma, to, eta)
        y = step(r, y, sigma, down)
        if to > 0 and eta > 0:
            y = y + next(r.noise) * r.options.get("s_noise", 1) * up
        yield y


def dpmpp_2m(r):
    y, old, last = r.x, None, None
    for sigma, to in r.pairs():
        d = r.denoised(y, sigma)
        if to == 0:
            yield d
            return
        h = np.log(sigma / to)
        mean = d if old is None else d + (d - old) * h / last / 2
        y = to / sigma * y + (1 - to / sigma) * mean
        old, last = d, h
        yield y


def dpmpp_sde(r):
    y, eta = r.x, r.options.get("eta", 1)
    for sigma, to in r.pairs():
        y = dpmpp_sde_step(r, y, sigma, to, eta, r.options.get("s_noise", 1))
        yield y


def multistep_sde(r, order):
    """Two or three steps back, in h = (1 + eta) times the step in log sigma."""
    y, history, eta = r.x, [], r.options.get("eta", 1)
    for sigma, to in r.pairs():
        d = r.denoised(y, sigma)
        if to == 0:
            yield d
            return
        h = np.log(sigma / to)
        long, p = h * (1 + eta), min(order, len(history) + 1)
        y = np.exp(-long) * y - np.expm1(-long) * d
        phi2 = 1 + np.expm1(-long) / long
        if p >= 2:
            first = (d - history[0][0]) * h / history[0][1]
            midpoint = order == 2 and r.options.get("solver", "midpoint") == "midpoint"
        if p == 2:
            y = y + (-np.expm1(-long) / 2 if midpoint else phi2) * first
        if p == 3:
            second = (history[0][0] - history[1][0]) * h / history[1][1]
            r0, r1 = history[0][1] / h, history[1][1] / h
            slope, curve = first + (first - second) * r0 / (r0 + r1), (first - second) / (r0 + r1)
            y = y + phi2 * slope - (phi2 / long - 0.5) * curve
        if eta > 0:
            y = y + next(r.noise) * to * np.sqrt(-np.expm1(-2 * h * eta)) * r.options.get("s_noise", 1)
        history = [(d, h), *history]
        yield y


def dpm_adaptive(r):
    """DPM-Solver-12 and 23 (Lu et al. 2206.00927, appendix C) with a PID controller of the step in log sigma."""
    o = {"order": 3, "rtol": 0.05, "atol": 0.0078, "h_init": 0.05, "pcoeff": 0, "icoeff": 1, "dcoeff": 0, "eta": 0, "s_noise": 1}
    o |= r.options
    t, end = -np.log(r.sigmas)
    x = previous = r.x
    h, inverse = o["h_init"], None
    power = 1.5 if o["eta"] else o["order"]
    gains = np.array([o["pcoeff"] + o["icoeff"] + o["dcoeff"], -(o["pcoeff"] + 2 * o["dcoeff"]), o["dcoeff"]]) / power
    while t < end - 1e-5:
        to = min(end, t + h)
        low_t, up = to, 0
        if o["eta"]:
            down, _ = ancestral(np.exp(-t), np.exp(-to), o["eta"])
            low_t = min(end, -np.log(down))
            up = np.sqrt(np.exp(-2 * to) - np.exp(-2 * low_t))
        low, high = solver_pair(r, x, t, low_t, o["order"])
        tolerance = np.maximum(o["atol"], o["rtol"] * np.maximum(np.abs(low), np.abs(previous)))
        error = np.sqrt(np.mean(((low - high) / tolerance) ** 2))
        newest = 1 / (error + 1e-8)
        inverse = [newest, *(inverse[1:] if inverse else [newest, newest])]
        factor = 1 + np.arctan(np.prod(np.array(inverse) ** gains) - 1)
        if factor >= 0.81:
            inverse = [inverse[0], inverse[0], inverse[1]]
            x, previous, t = high, low, to
            if o["eta"]:
                x = x + up * o["s_noise"] * next(r.noise)
        h *= factor
        yield x


def solver_pair(r, x, t, to, order):
    h, sigma = to - t, lambda at: np.exp(-at)
    eps = r.slope(x, sigma(t))
    part = 1 / 2 if order == 2 else 1 / 3
    middle = t + part * h
    first = r.slope(x - sigma(middle) * np.expm1(part * h) * eps, sigma(middle)) - eps
    plain = x - sigma(to) * np.expm1(h) * eps
    second_order = plain - sigma(to) / (2 * part) * np.expm1(h) * first
    if order == 2:
        return plain, second_order
    later, part = t + 2 / 3 * h, 2 / 3
    inner = x - sigma(later) * (np.expm1(part * h) * eps + 2 * (np.expm1(part * h) / (part * h) - 1) * first)
    return second_order, plain - sigma(to) / part * (np.expm1(h) / h - 1) * (r.slope(inner, sigma(later)) - eps)
