"""Records diffusers' exponential integrators: tests/goldens/dpm_samplers.safetensors (golden_common.py).

They walk x = a x0 + s eps. Run with the Python environment of scripts/requirements.txt:
python tests/goldens/record_dpm_samplers.py
"""

from diffusers import DEISMultistepScheduler, DPMSolverMultistepScheduler, DPMSolverSinglestepScheduler, UniPCMultistepScheduler
from golden_common import Goldens, case_of, covering, scheduler_of, set_timesteps, walk

STEPS = (10, 15, 14, 5, 3, 2, 1)  # below 15 the class lowers the order at the end
SPACINGS = ("linspace", "leading", "trailing")
CURVES = ("karras", "exponential", "beta")
PREDICTIONS = ("epsilon", "v", "sample")
AYS_TIMESTEPS = [999, 850, 736, 645, 545, 455, 343, 233, 124, 24]
MULTISTEP = {"order": 2, "solver": "midpoint", "lower_order_final": True, "euler_at_final": False}
THRESHOLD = {"threshold_ratio": 0.87, "threshold_max": 0.5}
LEADING = {"schedule": "leading", "steps_offset": 1}
TRAILING_V = {"schedule": "trailing", "prediction": "v"}


def cover(schedules, allowed=lambda row: True, steps=STEPS, **factors):
    factors = {"schedule": schedules, "prediction": PREDICTIONS, "steps_offset": (0, 1), "betas": ("sd", "linear")} | factors
    # A single step is of first order whatever is asked for.
    ordinary = {name: values[0] for name, values in factors.items() if name in (*MULTISTEP, "final")}

    def sensible(row):
        plain = row["steps"] > 1 or all(row[name] == value for name, value in ordinary.items())
        return plain and (row["steps_offset"] == 0 or row["schedule"] == "leading") and allowed(row)

    return covering(factors | {"steps": steps}, sensible)


def multistep(finals=("zero", "sigma_min"), **factors):
    def allowed(row):
        """These curves end at sigma_min before it is appended. Upstream divides 0 by 0 in a step of no length, but for the
        first order and the midpoint form of the second."""
        no_length = row["schedule"] not in SPACINGS and row["final"] == "sigma_min"
        lowered = row["euler_at_final"] or (row["lower_order_final"] and row["steps"] < 15)
        return not no_length or lowered or (row["solver"] == "midpoint" and row.get("order", 3) < 3)

    choices = {"solver": ("midpoint", "heun"), "lower_order_final": (True, False), "euler_at_final": (False, True)}
    yield from cover((*SPACINGS, *CURVES, "lu"), allowed, final=finals, **choices, **factors)
    final = {"final": finals[0]} | {name: values[0] for name, values in factors.items()}
    yield LEADING | final | {"steps": 20}
    yield LEADING | final | {"steps": 6, "shape": "even"}
    yield LEADING | final | {"steps": 16, "begin": 5}
    if "zero" in finals:
        yield LEADING | final | {"steps": 1, "final": "sigma_min"}
    yield TRAILING_V | final | {"steps": 10, "zero_terminal_snr": True}
    yield final | {"steps": 10, "schedule": "timesteps", "timesteps": AYS_TIMESTEPS}


def dpm_2m():
    yield from multistep(order=(2, 1))
    yield LEADING | {"steps": 10} | THRESHOLD


def dpm_3m():
    yield from multistep()


def dpm_2m_sde():
    yield from multistep(order=(2, 1))


def dpm_solver():
    yield from multistep(finals=("sigma_min",), order=(2, 1, 3))


def unipc():
    def allowed(row):
        """Upstream is NaN at final sigma 0 for bh1 or any order but the first, and for order 3 in a step of no length."""
        if row["final"] == "zero":
            return row["solver"] == "bh2" and row["lower_order_final"]
        return row["schedule"] in SPACINGS or row["order"] < 3 or row["lower_order_final"]

    choices = {"solver": ("bh2", "bh1"), "order": (2, 1, 3), "lower_order_final": (True, False)}
    yield from cover((*SPACINGS, *CURVES), allowed, final=("zero", "sigma_min"), **choices)
    yield LEADING | {"steps": 20}
    yield LEADING | {"steps": 6, "shape": "even"}
    yield LEADING | {"steps": 16, "begin": 5}
    yield TRAILING_V | {"steps": 10, "zero_terminal_snr": True}
    yield LEADING | {"steps": 10, "order": 3, "disable_corrector": [0, 1, 4]}
    yield LEADING | {"steps": 10} | THRESHOLD
    yield {"steps": 10, "schedule": "karras", "sigma_min": 0.1, "sigma_max": 10.0}


def deis():
    yield from cover((*SPACINGS, *CURVES), final=("sigma_min",), order=(2, 1, 3), lower_order_final=(True, False))
    final = {"final": "sigma_min"}
    yield LEADING | final | {"steps": 20}
    yield LEADING | final | {"steps": 6, "shape": "even"}
    yield LEADING | final | {"steps": 16, "begin": 5}
    yield LEADING | final | {"steps": 10} | THRESHOLD


def singlestep():
    yield from cover(
        ("linspace", *CURVES),
        final=("zero", "sigma_min"),
        solver=("midpoint", "heun"),
        order=(2, 3),
        lower_order_final=(False, True),
        steps=(10, 15, 14, 16, 20, 5, 3, 2, 1),
    )
    yield {"steps": 7, "shape": "even"}
    for order in (2, 3):
        yield {"steps": 10, "order": order, "begin": 4}
    yield {"steps": 10, "schedule": "timesteps", "timesteps": AYS_TIMESTEPS}
    yield {"steps": 10} | THRESHOLD


FAMILIES = (
    ("dpm++2m", DPMSolverMultistepScheduler, dpm_2m, MULTISTEP, {}),
    ("dpm++3m", DPMSolverMultistepScheduler, dpm_3m, MULTISTEP, {"solver_order": 3}),
    ("dpm++2m_sde", DPMSolverMultistepScheduler, dpm_2m_sde, MULTISTEP, {"algorithm_type": "sde-dpmsolver++"}),
    ("dpm++3m_sde", DPMSolverMultistepScheduler, dpm_3m, MULTISTEP, {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}),
    ("dpm_solver", DPMSolverMultistepScheduler, dpm_solver, MULTISTEP | {"order": None}, {"algorithm_type": "dpmsolver"}),
    ("unipc", UniPCMultistepScheduler, unipc, {"order": 2, "solver": "bh2", "lower_order_final": True, "disable_corrector": None}, {}),
    ("deis", DEISMultistepScheduler, deis, {"order": 2, "lower_order_final": True}, {}),
    ("dpm++2s", DPMSolverSinglestepScheduler, singlestep, {"order": 2, "solver": "midpoint", "lower_order_final": False}, {}),
)


def main():
    goldens = Goldens()
    for sampler, cls, rows, options, fixed in FAMILIES:
        for row in rows():
            case = case_of(sampler, row, options)
            scheduler = scheduler_of(cls, case, **fixed)
            set_timesteps(scheduler, case)
            goldens.add(case, walk(scheduler, case))
    goldens.save(__file__)


if __name__ == "__main__":
    main()
