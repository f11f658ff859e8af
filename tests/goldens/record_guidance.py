"""Records what guidance makes of given network outputs: tests/goldens/guidance.safetensors.

Run with the Python environment of scripts/requirements.txt:  python tests/goldens/record_guidance.py

`outputs/NAME` holds the raw outputs of one branch at each of STEPS steps (STEPS, B, C, h, w), float32. A case holds
`CASE/output`, the guided raw output of each step. Cases of diffusers' guiders are what they say; the others are the
papers' equations in float64, written here without a look at any program. Metadata: `versions`, and `cases`, a JSON list
of {name, source, ...} with the options in darkroom's terms. `cfg-pp/SAMPLER` is a whole walk of CFG++, of its own
toy denoiser, from `cfg-pp/start` over `cfg-pp/sigmas` with `cfg-pp/noise`.
"""

import json
import pathlib

import diffusers
import numpy as np
import torch
from diffusers.guiders import AdaptiveProjectedGuidance, ClassifierFreeGuidance, ClassifierFreeZeroStarGuidance
from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer
from safetensors.torch import save_file

OUTPUT = pathlib.Path(__file__).with_name("guidance.safetensors")
STEPS, SHAPE, TRAIN_STEPS = 7, (2, 3, 5, 4), 1000
TIMESTEPS = [1000 - 1 - i * 140 for i in range(STEPS)]
BRANCHES = ("negative", "prompt0", "prompt1", "empty", "weaker")


def outputs():
    """Correlated, as a network's answers to several prompts are, and of unequal size per image."""
    generator = torch.Generator().manual_seed(17)
    common = torch.randn((STEPS, *SHAPE), generator=generator)
    size = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    return {name: size * (common + 0.5 * torch.randn((STEPS, *SHAPE), generator=generator)) for name in BRANCHES}


# diffusers' guiders


def from_guider(guider, raw, momentum=0.0):
    if momentum:
        guider.momentum_buffer = MomentumBuffer(momentum)
    result = []
    for step in range(STEPS):
        guider.set_state(step, STEPS, torch.tensor(TIMESTEPS[step]))
        both = guider.num_conditions == 2
        result.append(guider.forward(raw["prompt0"][step], raw["negative"][step] if both else None).pred)
    return torch.stack(result)


def guider_cases():
    yield dict(name="cfg", scale=7.5), ClassifierFreeGuidance(7.5)
    yield dict(name="interval", scale=4.0, start=0.3, stop=0.9), ClassifierFreeGuidance(4.0, start=0.3, stop=0.9)
    yield dict(name="rescale", scale=7.5, rescale=0.7), ClassifierFreeGuidance(7.5, guidance_rescale=0.7)
    apg = dict(eta=0.0, norm=2.5)
    yield dict(name="apg", scale=7.5, **apg), AdaptiveProjectedGuidance(7.5, None, 2.5, eta=0.0)
    apg = dict(eta=0.4, norm=6.0, momentum=-0.5)
    yield (
        dict(name="apg-momentum-interval", scale=5.0, start=0.15, rescale=0.5, **apg),
        AdaptiveProjectedGuidance(5.0, -0.5, 6.0, eta=0.4, guidance_rescale=0.5, start=0.15),
    )
    yield dict(name="zero-star", scale=5.0, zero_star=True, zero_init=2), ClassifierFreeZeroStarGuidance(5.0, 2)
    # Not with zero-init: diffusers rescales the zeros and gets NaN.
    yield (
        dict(name="zero-star-rescale", scale=5.0, zero_star=True, rescale=0.6, stop=0.8),
        ClassifierFreeZeroStarGuidance(5.0, 0, guidance_rescale=0.6, stop=0.8),
    )


# The papers


def perpendicular(vector, to):
    """The part of each image of `vector` that is perpendicular to that of `to`."""
    parts = []
    for v, t in zip(vector.reshape(len(vector), -1), to.reshape(len(to), -1), strict=True):
        parts.append(v - (v @ t) / (t @ t) * t)
    return np.stack(parts).reshape(vector.shape)


def paper_cases(raw):
    negative, first, second, empty, weaker = (raw[name].double().numpy() for name in BRANCHES)

    # Armandpour et al. 2304.04968: e_u + w (e_c - sum w_i perp(e_i)), e_c and e_i being differences to e_u.
    def perp_neg(w, strength):
        return [e + w * ((c - e) - strength * perpendicular(n - e, c - e)) for e, c, n in zip(empty, first, negative)]

    # Karras et al. 2406.02507: w D1 + (1 - w) D0.
    def autoguidance(w):
        return [w * c + (1 - w) * g for c, g in zip(first, weaker)]

    # Liu et al. 2206.01714: e(x) + sum w_i (e(x | c_i) - e(x)); A1111 multiplies each weight by the scale.
    def composed(w, weights):
        return [n + w * weights[0] * (a - n) + w * weights[1] * (b - n) for n, a, b in zip(negative, first, second)]

    # Wang et al. 2404.13040: e_c + w(t) (e_c - e_u), w(t) = w 2 (1 - t/T) or w (1 + cos(pi t/T)).
    def scheduled(w, shape):
        fractions = [t / TRAIN_STEPS for t in TIMESTEPS]
        shapes = {"linear": [2 * (1 - u) for u in fractions], "cosine": [1 + np.cos(np.pi * u) for u in fractions]}
        return [c + (w - 1) * f * (c - n) for c, n, f in zip(first, negative, shapes[shape])]

    yield dict(name="perp-neg", scale=6.0, perp_neg=0.8), perp_neg(6.0, 0.8)
    yield dict(name="autoguidance", scale=2.5, autoguidance=True), autoguidance(2.5)
    yield dict(name="composed", scale=5.0, weights=[1.2, -0.4]), composed(5.0, [1.2, -0.4])
    # Outside the interval the scale is 1.
    inside = composed(5.0, [0.7, 0.3])
    outside = composed(1.0, [0.7, 0.3])
    steps = [inside[i] if 2 <= i < 4 else outside[i] for i in range(STEPS)]
    yield dict(name="composed-interval", scale=5.0, weights=[0.7, 0.3], start=0.3, stop=0.6), steps
    for shape in ("linear", "cosine"):
        yield dict(name=shape, scale=4.0, schedule=shape), scheduled(4.0, shape)


def cfg_pp_walks(scale, sigmas, start, noise):
    """Chung et al. 2406.08070 in k-diffusion's variable y = x / alpha, as the authors' program and ComfyUI walk it: every
    step goes to the guided x0 and takes its noise, and the earlier x0 of DPM++ 2M, from the unconditional one."""

    def denoised(y, sigma, frequency):
        x = y / np.sqrt(1 + sigma**2)  # what the network sees
        return y - sigma * (0.9 * x + 0.3 * np.sin(frequency * x))

    walks = {}
    for name in ("euler", "euler_a", "dpmpp_2m"):
        y, walk, earlier, h_earlier = start, [], None, None
        for i, (sigma, following) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
            unconditional = denoised(y, sigma, 2.0)
            guided = unconditional + scale * (denoised(y, sigma, 3.0) - unconditional)
            eps = (y - unconditional) / sigma
            if name == "euler_a":
                up = np.sqrt(following**2 * (sigma**2 - following**2) / sigma**2)
                y = guided + np.sqrt(following**2 - up**2) * eps + up * noise[i]
            else:
                y = guided + following * eps
                h = np.log(sigma / following) if following > 0 else np.inf
                if name == "dpmpp_2m" and earlier is not None and following > 0:
                    y = y + (1 - following / sigma) * h / (2 * h_earlier) * (guided - earlier)
                earlier, h_earlier = unconditional, h
            walk.append(y)
        walks[name] = np.stack(walk)
    return walks


def main():
    raw = outputs()
    tensors = {f"outputs/{name}": values for name, values in raw.items()}
    cases = []
    for case, guider in guider_cases():
        cases.append(case | {"source": "diffusers"})
        tensors[f"{case['name']}/output"] = from_guider(guider, raw, case.get("momentum", 0.0))
    for case, steps in paper_cases(raw):
        cases.append(case | {"source": "paper"})
        tensors[f"{case['name']}/output"] = torch.from_numpy(np.stack(steps)).float()

    generator = torch.Generator().manual_seed(5)
    start, *noise = torch.randn((11, 2, 3, 4), generator=generator, dtype=torch.float64)
    start, noise = 14.6 * start, torch.stack(noise)
    sigmas = np.append(np.geomspace(14.6, 0.05, 10), 0.0)
    tensors |= {"cfg-pp/start": start, "cfg-pp/noise": noise, "cfg-pp/sigmas": torch.from_numpy(sigmas)}
    for name, walk in cfg_pp_walks(0.6, sigmas, start.numpy(), noise.numpy()).items():
        tensors[f"cfg-pp/{name}"] = torch.from_numpy(walk)

    assert all(tensor.isfinite().all() for tensor in tensors.values())
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    versions = {"torch": torch.__version__, "diffusers": diffusers.__version__, "numpy": np.__version__}
    metadata = {"versions": versions, "cases": cases, "timesteps": TIMESTEPS, "train_steps": TRAIN_STEPS}
    save_file(tensors, OUTPUT, metadata={key: json.dumps(value) for key, value in metadata.items()})
    print(f"{len(cases)} cases, {OUTPUT.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
