"""Exponential integrators of x = a x0 + s eps, as diffusers has them."""

import numpy as np


class Grid:
    """Levels of x = a x0 + s eps at every grid point, and the step from i to i + 1."""

    def __init__(self, r):
        self.sigma = np.asarray(r.sigmas)
        self.a = 1 - self.sigma if r.flow else 1 / np.sqrt(1 + self.sigma**2)
        self.s = self.sigma if r.flow else self.sigma * self.a
        with np.errstate(divide="ignore"):
            self.lam = np.log(self.a) - np.log(self.s)

    def x0_eps(self, r, x, i):
        a, s, m = self.a[i], self.s[i], r.raw(x)
        if r.case["prediction"] == "flow":
            return x - s * m, x + a * m
        x0 = {"epsilon": (x - s * m) / a, "v": a * x - s * m, "sample": m}[r.case["prediction"]]
        if "threshold_ratio" in r.case:
            limit = np.quantile(np.abs(x0).reshape(len(x0), -1), r.case["threshold_ratio"], axis=1)
            limit = np.clip(limit, 1, r.case["threshold_max"]).reshape(-1, 1, 1, 1)
            x0 = np.clip(x0, -limit, limit) / limit
        return x0, (x - a * x0) / s


def exp_minus_1(h):
    return np.expm1(-h) if np.isfinite(h) else -1.0


def slopes(grid, history, i, order):
    """First and second divided differences in lambda, scaled by the step; history holds the newest first."""
    lam, h = grid.lam, grid.lam[i + 1] - grid.lam[i]
    if order == 1 or h == 0:
        return 0, 0
    first = (history[0] - history[1]) * h / (lam[i] - lam[i - 1])
    if order == 2:
        return first, 0
    second = (history[1] - history[2]) * h / (lam[i - 1] - lam[i - 2])
    ratio, span = (lam[i] - lam[i - 1]) / (lam[i] - lam[i - 2]), (lam[i] - lam[i - 2]) / h
    return first + ratio * (first - second), (first - second) / span


def multistep(r, order, kind):
    """DPM-Solver (kind eps), DPM-Solver++ (x0) and its SDE (sde)."""
    grid, x, history, n = Grid(r), r.x, [], r.steps
    lower, euler_last = r.options.get("lower_order_final", True) and n < 15, r.options.get("euler_at_final", False)
    heun = r.options.get("solver") == "heun"
    for i in range(r.begin, n):
        history = [grid.x0_eps(r, x, i)[kind == "eps"], *history][:3]
        p = min(order, len(history))
        if i == n - 1 and (euler_last or lower or r.case["final"] == "zero"):
            p = 1
        elif i == n - 2 and lower:
            p = min(p, 2)
        x = multistep_step(r, grid, x, history, i, p, kind, heun or p == 3)
        yield x


def multistep_step(r, grid, x, history, i, p, kind, heun):
    h = grid.lam[i + 1] - grid.lam[i]
    d1, d2 = slopes(grid, history, i, p)
    if kind == "sde":
        h, scale = 2 * h, grid.a[i + 1]
        stay = grid.s[i + 1] / grid.s[i] * np.exp(-h / 2)
        noise = grid.s[i + 1] * np.sqrt(-exp_minus_1(h)) * next(r.noise)
    elif kind == "eps":
        h, scale, stay, noise = -h, grid.s[i + 1], grid.a[i + 1] / grid.a[i], 0
    else:
        scale, stay, noise = grid.a[i + 1], grid.s[i + 1] / grid.s[i], 0
    phi1 = -exp_minus_1(h)
    if p == 1 or h == 0:
        return stay * x + scale * phi1 * history[0] + noise
    phi2 = 1 - phi1 / h if heun else phi1 / 2
    phi3 = (phi1 - h) / h**2 + (-0.5 if kind == "sde" else 0.5)  # -0.5 is diffusers'; k-diffusion has + here too
    return stay * x + scale * (phi1 * history[0] + phi2 * d1 + phi3 * d2) + noise


def deis(r):
    """Integrals of the Lagrange basis in log rho by quadrature."""
    grid, x, history, n = Grid(r), r.x, [], r.steps
    points, weights = np.polynomial.legendre.leggauss(60)
    log = -grid.lam
    for i in range(r.begin, n):
        history = [grid.x0_eps(r, x, i)[1], *history][: r.options.get("order", 2)]
        p = min(len(history), n - i) if r.options.get("lower_order_final", True) and n < 15 else len(history)
        tau = np.exp(log[i] + (log[i + 1] - log[i]) * (points + 1) / 2)
        total = x / grid.a[i]
        for j in range(p):
            basis = np.prod([(np.log(tau) - log[i - k]) / (log[i - j] - log[i - k]) for k in range(p) if k != j], axis=0)
            total = total + history[j] * np.sum(weights * (log[i + 1] - log[i]) / 2 * tau * basis)
        x = grid.a[i + 1] * total
        yield x


def unipc(r):
    grid, x, n, off = Grid(r), r.x, r.steps, r.options.get("disable_corrector", [])
    history, points, previous = [], [], None  # newest first
    for i in range(r.begin, n):
        model = grid.x0_eps(r, x, i)[0]
        if previous is not None and i - 1 not in off:
            x = unipc_step(r, grid, previous, history, points, i, order, model)
        history, points = [model, *history][:3], [i, *points][:3]
        order = min(r.options.get("order", 2), len(history))
        if r.options.get("lower_order_final", True):
            order = min(order, n - i)
        previous, x = x, unipc_step(r, grid, x, history, points, i + 1, order)
        yield x


def unipc_step(r, grid, x, history, points, to, order, corrected=None):
    """UniP, or with the model's output at the end UniC (Zhao et al. 2302.04867, algorithms 5 and 7)."""
    lam, base = grid.lam, points[0]
    h = lam[to] - lam[base]
    grown = exp_minus_1(h)
    plain = grid.s[to] / grid.s[base] * x - grid.a[to] * grown * history[0]
    size = grown if r.options.get("solver", "bh2") == "bh2" else -h
    if h == 0 or (order == 1 and corrected is None):
        return plain
    ratios = [(lam[p] - lam[base]) / h for p in points[1:order]]
    differences = [(m - history[0]) / q for m, q in zip(history[1:], ratios)]
    if corrected is not None:
        ratios, differences = [*ratios, 1.0], [*differences, corrected - history[0]]
    count, b, phi, factorial = len(ratios), [], grown / -h - 1, 1
    for j in range(1, count + 1):
        b.append(phi * factorial / size)
        factorial *= j + 1
        phi = phi / -h - 1 / factorial
    rho = [0.5] if count == 1 else np.linalg.solve([[q**j for q in ratios] for j in range(count)], b)
    return plain - grid.a[to] * size * sum(c * d for c, d in zip(rho, differences))


def singlestep(r):
    grid, x, n, order = Grid(r), r.x, r.steps, r.options.get("order", 2)
    orders = singlestep_orders(r, n, order)
    history, base = [], None
    for i in range(r.begin, n):
        history = [grid.x0_eps(r, x, i)[0], *history][:3]
        p = min(orders[i], len(history))
        if p == 1:
            base = x
        x = singlestep_step(grid, base, history, i, p, r.options.get("solver") == "heun")
        yield x


def singlestep_orders(r, n, order):
    lower = r.options.get("lower_order_final", False) or n % order or r.case["final"] == "zero"
    if not lower:
        return list(range(1, order + 1)) * (n // order)
    whole, rest = divmod(n, order)
    if order == 2:
        orders = [1, 2] * whole + [1] if rest else [1, 2] * (whole - 1) + [1, 1]
    else:
        orders = {0: [1, 2, 3] * (whole - 1) + [1, 2, 1], 1: [1, 2, 3] * whole + [1], 2: [1, 2, 3] * whole + [1, 2]}[rest]
    return orders[:-1] + [1] if r.case["final"] == "zero" else orders


def singlestep_step(grid, base, history, i, p, heun):
    lam, start = grid.lam, i - p + 1
    h = lam[i + 1] - lam[start]
    phi1, first = -exp_minus_1(h), history[p - 1]
    x = grid.s[i + 1] / grid.s[start] * base + grid.a[i + 1] * phi1 * first
    if p == 1 or h == 0:
        return x
    phi2 = 1 - phi1 / h
    d0 = (history[0] - first) * h / (lam[i] - lam[start])
    if p == 2:
        return x + grid.a[i + 1] * (phi2 if heun else phi1 / 2) * d0
    if not heun:
        return x + grid.a[i + 1] * phi2 * d0
    r0, r1 = (lam[i] - lam[start]) / h, (lam[i - 1] - lam[start]) / h
    d1 = (history[1] - first) / r1
    return x + grid.a[i + 1] * (phi2 * (r0 * d1 - r1 * d0) / (r0 - r1) - (phi2 / h - 0.5) * 2 * (d1 - d0) / (r1 - r0))
