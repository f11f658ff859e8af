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


class Grid:
    """Levels of x = a x0 + s eps at every grid point, and the step from i to i + 1."""

    def __init__(self, r, flow=False):
        self.sigma = np.asarray(r.sigmas)
        self.a = 1 - self.sigma if flow else 1 / np.sqrt(1 + self.sigma**2)
        self.s = self.sigma if flow else self.sigma * self.a
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


def multistep(r, order, kind, flow=False):
    """DPM-Solver (kind eps), DPM-Solver++ (x0) and its SDE (sde)."""
    grid, x, history, n = Grid(r, flow), r.x, [], r.steps
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


def deis(r, flow=False):
    """Integrals of the Lagrange basis in log rho by quadrature."""
    grid, x, history, n = Grid(r, flow), r.x, [], r.steps
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


def unipc(r, flow=False):
    grid, x, n, off = Grid(r, flow), r.x, r.steps, r.options.get("disable_corrector", [])
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


def singlestep(r, flow=False):
    grid, x, n, order = Grid(r, flow), r.x, r.steps, r.options.get("order", 2)
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


DIFFUSERS = {
    "euler": euler,
    "euler_a": euler_a,
    "heun": heun,
    "dpm2": dpm2,
    "dpm2_a": dpm2_a,
    "lms": lms,
    "dpm++2m": lambda r: multistep(r, r.options.get("order", 2), "x0"),
    "dpm++3m": lambda r: multistep(r, 3, "x0"),
    "dpm++2m_sde": lambda r: multistep(r, r.options.get("order", 2), "sde"),
    "dpm++3m_sde": lambda r: multistep(r, 3, "sde"),
    "dpm_solver": lambda r: multistep(r, r.options["order"], "eps"),
    "unipc": unipc,
    "deis": deis,
    "dpm++2s": singlestep,
}
