"""What a recorded walk gives to its formula."""

import numpy as np


class Recording:
    """One case: its tensors as float64, read in the order in which a sampler asks for them."""

    def __init__(self, case, tensors):
        self.case, self.options = case, case["options"]
        self.x, self.samples = tensors["x"], tensors["samples"]
        self.sigmas = tensors.get("sigmas")
        self.alphas, self.betas = tensors.get("alphas"), tensors.get("betas")
        self.all_timesteps = tensors["timesteps"]
        self.timesteps = iter(self.all_timesteps)
        self.noise = iter(tensors.get("noise", ()))
        self.begin, self.steps, self.flow = case.get("begin", 0), case["steps"], case["prediction"] == "flow"

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

    def slope(self, y, sigma):
        """dy/dsigma; on rectified flow what the network says."""
        return self.raw(y) if self.flow else (y - self.denoised(y, sigma)) / sigma

    def pairs(self):
        return list(zip(self.sigmas, self.sigmas[1:]))[self.begin :]
