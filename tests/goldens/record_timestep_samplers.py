"""Records diffusers' samplers that step from timestep to timestep: tests/goldens/timestep_samplers.safetensors.

golden_common.py says what a case holds. PNDM and PLMS have a row of `samples` per network call. IPNDM has a schedule of
its own, cos and sin of pi t / 2, held as `alphas` and `betas`, and reads the network's output as v.
Run with the Python environment of scripts/requirements.txt:  python tests/goldens/record_timestep_samplers.py
"""

from diffusers import IPNDMScheduler, LCMScheduler, PNDMScheduler, TCDScheduler
from golden_common import Goldens, case_of, covering, scheduler_of, set_timesteps, walk

SPACINGS = ("leading", "trailing", "linspace")
SD = {"schedule": "leading", "steps_offset": 1, "prediction": "epsilon"}
TRAILING_ZERO_SNR = {"prediction": "v", "zero_terminal_snr": True}
LCM_TIMESTEPS = [999, 759, 499, 259]


def pndm(least_steps):
    steps = [n for n in (10, 20, 13, 5, 4, 3, 2, 1) if n >= least_steps]
    factors = {"schedule": SPACINGS, "prediction": ("epsilon", "v"), "steps_offset": (0, 1), "betas": ("sd", "linear")}
    factors |= {"set_alpha_to_one": (False, True), "steps": steps}
    yield from covering(factors, lambda row: row["steps_offset"] == 0 or row["schedule"] == "leading")
    yield SD | {"steps": 7, "set_alpha_to_one": False, "shape": "even"}


def plms():
    return pndm(1)


def prk():  # upstream fails below the four grid points its Runge-Kutta phase takes
    return pndm(4)


def lcm(**factors):
    shared = {"schedule": ("lcm",), "prediction": ("epsilon", "v", "sample"), "betas": ("sd", "linear")}
    shared |= {"original_steps": (50, 100), "strength": (1.0, 0.6)}
    yield from covering(shared | factors | {"steps": (4, 10, 20, 5, 3, 2, 1)})
    extra = {name: values[-1] for name, values in factors.items()}
    yield {"schedule": "lcm", "steps": 4, **TRAILING_ZERO_SNR, **extra}
    yield {"schedule": "lcm", "steps": 7, "shape": "even", **extra}
    for strength in (1.0, 0.5):  # upstream shortens the list but still counts four steps: the last one draws noise too
        yield {"schedule": "timesteps", "steps": 4, "timesteps": LCM_TIMESTEPS, "strength": strength, **extra}


def lcm_clipped():
    yield from lcm()
    yield {"schedule": "lcm", "steps": 5, "clip_sample": 0.8}
    yield {"schedule": "lcm", "steps": 5, "threshold_ratio": 0.87, "threshold_max": 1.5}


def tcd():
    yield from lcm(eta=(0.0, 0.3, 0.5, 1.0))


def ipndm():
    for steps in (2, 3, 5, 10, 20):  # a single step ends at nothing but zeros
        yield {"schedule": "ipndm", "steps": steps, "prediction": "v"}
    yield {"schedule": "ipndm", "steps": 10, "prediction": "v", "begin": 1}
    yield {"schedule": "ipndm", "steps": 10, "prediction": "v", "begin": 4, "shape": "even"}


FAMILIES = (
    ("plms", PNDMScheduler, plms, {}, lambda case: {"skip_prk_steps": True, "set_alpha_to_one": case["set_alpha_to_one"]}),
    ("pndm", PNDMScheduler, prk, {}, lambda case: {"skip_prk_steps": False, "set_alpha_to_one": case["set_alpha_to_one"]}),
    ("lcm", LCMScheduler, lcm_clipped, {}, lambda case: {"original_inference_steps": case.get("original_steps", 50)}),
    ("tcd", TCDScheduler, tcd, {"eta": None}, lambda case: {"original_inference_steps": case.get("original_steps", 50)}),
    ("ipndm", IPNDMScheduler, ipndm, {}, lambda case: {}),
)


def main():
    goldens = Goldens()
    for sampler, cls, rows, options, fixed in FAMILIES:
        for row in rows():
            case = case_of(sampler, row, options)
            scheduler = scheduler_of(cls, case, **fixed(case))
            set_timesteps(scheduler, case, **({"strength": case["strength"]} if "strength" in case else {}))
            tensors = walk(scheduler, case, step_options=options)
            if sampler == "ipndm":
                tensors |= {"alphas": scheduler.alphas, "betas": scheduler.betas}
            goldens.add(case, tensors)
    goldens.save(__file__)


if __name__ == "__main__":
    main()
