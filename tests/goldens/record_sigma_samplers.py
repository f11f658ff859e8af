"""Records diffusers' samplers that walk y = x0 + sigma eps: tests/goldens/sigma_samplers.safetensors (golden_common.py).

DPM++ SDE is given unit noise in place of its Brownian path, which would need torchsde.
Run with the Python environment of scripts/requirements.txt:  python tests/goldens/record_sigma_samplers.py
"""

import sys
import types

from diffusers import (
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2AncestralDiscreteScheduler,
    KDPM2DiscreteScheduler,
    LMSDiscreteScheduler,
)
from diffusers.utils.torch_utils import randn_tensor
from golden_common import SHAPES, Goldens, case_of, covering, scheduler_of, seeded, set_timesteps, walk

sys.modules.setdefault("torchsde", types.ModuleType("torchsde"))
from diffusers.schedulers import scheduling_dpmsolver_sde  # noqa: E402

STEPS = (10, 20, 5, 3, 2, 1)
SPACINGS = ("linspace", "leading", "trailing")
CURVES = (*SPACINGS, "karras", "karras@leading", "exponential", "beta")  # these take their ends from the spacing
BETAS = ("sd", "linear")
AYS_SIGMAS = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.0]
AYS_TIMESTEPS = [999, 850, 736, 645, 545, 455, 343, 233, 124, 24]
CHURN = {"s_churn": 0.0, "s_tmin": 0.0, "s_tmax": float("inf"), "s_noise": 1.0}
TRAILING_V = {"steps": 10, "schedule": "trailing", "prediction": "v"}


def cover(schedules, predictions, **factors):
    factors = {"schedule": schedules, "prediction": predictions, "steps_offset": (0, 1), "betas": BETAS} | factors
    return covering(factors | {"steps": STEPS}, lambda row: row["steps_offset"] == 0 or "leading" in row["schedule"])


def euler():
    yield from cover(CURVES, ("epsilon", "v", "sample"), final=("zero", "sigma_min"), s_churn=(0.0, 4.0))
    for prediction in ("epsilon", "v", "sample"):
        yield {"steps": 5, "prediction": prediction, "s_churn": 40.0, "s_noise": 1.003}  # gamma at its cap
    yield {"steps": 7, "schedule": "karras", "s_churn": 4.0, "s_tmin": 0.3, "s_tmax": 8.0, "shape": "even"}
    yield TRAILING_V | {"zero_terminal_snr": True}
    yield TRAILING_V | {"zero_terminal_snr": True, "s_churn": 4.0}
    yield {"steps": 10, "schedule": "sigmas", "sigmas": AYS_SIGMAS}
    yield {"steps": 10, "schedule": "timesteps", "timesteps": AYS_TIMESTEPS}
    yield {"steps": 10, "schedule": "karras", "sigma_min": 0.1, "sigma_max": 10.0}
    yield {"steps": 10, "schedule": "exponential@leading", "steps_offset": 1, "sigma_min": 0.1}
    yield {"steps": 10, "schedule": "leading", "steps_offset": 1, "begin": 3}


def ancestral():
    yield from cover(SPACINGS, ("epsilon", "v"))
    yield TRAILING_V | {"zero_terminal_snr": True}
    yield {"steps": 7, "schedule": "leading", "steps_offset": 1, "shape": "even"}
    yield {"steps": 10, "schedule": "leading", "steps_offset": 1, "begin": 3}


def heun():
    yield from curves(("epsilon", "v", "sample"))
    yield {"steps": 10, "schedule": "timesteps", "timesteps": AYS_TIMESTEPS}
    yield {"steps": 7, "clip_sample": 1.0}
    yield {"steps": 10, "schedule": "leading", "steps_offset": 1, "begin": 3}


def kdpm2():
    yield from curves(("epsilon", "v"))
    yield {"steps": 10, "schedule": "leading", "steps_offset": 1, "begin": 3}


def kdpm2_ancestral():
    # From sigma 157 to 0.01 sigma_up rounds to more than sigma in float32: upstream takes the root of a negative number.
    return (row for row in kdpm2() if (row.get("betas"), row["steps"]) != ("linear", 2))


def lms():
    yield from curves(("epsilon", "v", "sample"), order=(4, 3, 2, 1))
    for begin in (1, 3, 7):  # the order asked for counts grid steps, the derivatives held do not
        yield {"steps": 10, "schedule": "leading", "steps_offset": 1, "begin": begin}


def curves(predictions, **factors):
    yield from cover(CURVES, predictions, **factors)
    yield {"steps": 7, "schedule": "karras", "shape": "even"}
    yield {"steps": 5, "schedule": "exponential@leading", "steps_offset": 1}
    yield {"steps": 5, "schedule": "beta@trailing"}


FAMILIES = (
    ("euler", EulerDiscreteScheduler, euler, CHURN),
    ("euler_a", EulerAncestralDiscreteScheduler, ancestral, {}),
    ("heun", HeunDiscreteScheduler, heun, {}),
    ("dpm2", KDPM2DiscreteScheduler, kdpm2, {}),
    ("dpm2_a", KDPM2AncestralDiscreteScheduler, kdpm2_ancestral, {}),
    ("dpm++sde", scheduling_dpmsolver_sde.DPMSolverSDEScheduler, kdpm2, {}),
    ("lms", LMSDiscreteScheduler, lms, {"order": 4}),
)


def inject_noise(scheduler, case):
    """Unit noise from the place where walk() looks for it."""
    module, generator = scheduling_dpmsolver_sde, seeded(case["name"] + "/noise")
    module.randn_tensor = randn_tensor
    scheduler.noise_sampler = lambda *_: module.randn_tensor(SHAPES[case["shape"]], generator=generator)


def main():
    goldens = Goldens()
    for sampler, cls, rows, options in FAMILIES:
        for row in rows():
            case = case_of(sampler, row, options)
            scheduler = scheduler_of(cls, case)
            set_timesteps(scheduler, case)
            if sampler == "dpm++sde":
                inject_noise(scheduler, case)
            goldens.add(case, walk(scheduler, case, step_options=options))
    goldens.save(__file__)


if __name__ == "__main__":
    main()
