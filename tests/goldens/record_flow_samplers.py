"""Records diffusers' samplers on rectified flow, x = (1 - sigma) x0 + sigma eps: tests/goldens/flow_samplers.safetensors.

golden_common.py says what a case holds. `flow` holds the shift, or the dynamic shift's mu and kind, and what else
changes the grid. Run with the Python environment of scripts/requirements.txt:
python tests/goldens/record_flow_samplers.py
"""

from diffusers import (
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from golden_common import Goldens, case_of, covering, scheduler_of, set_timesteps, walk

STEPS = (10, 20, 15, 5, 3, 2, 1)
EXPONENTIAL = {"mu": 1.15, "dynamic": "exponential"}
FLOWS = {
    "three": {"shift": 3.0},
    "one": {"shift": 1.0},
    "exponential": EXPONENTIAL,
    "linear": {"mu": 0.63, "dynamic": "linear"},
    "terminal": {"shift": 3.0, "shift_terminal": 0.1},
    "exponential-terminal": EXPONENTIAL | {"shift_terminal": 0.1},
    "inverted": {"shift": 3.0, "invert_sigmas": True},
}
SHIFTS = ("three", "one")
CURVES = ("flow", "karras", "exponential", "beta")


def euler():
    yield from covering({"flow": (*SHIFTS, "exponential", "linear"), "schedule": CURVES, "stochastic": (False, True), "steps": STEPS})
    for flow in ("terminal", "exponential-terminal", "inverted"):
        yield {"flow": flow, "steps": 10, "schedule": "flow"}
    yield {"flow": "three", "steps": 28, "schedule": "flow"}
    yield {"flow": "three", "steps": 7, "schedule": "flow", "shape": "even"}
    yield {"flow": "three", "steps": 4, "schedule": "sigmas", "sigmas": [1.0, 0.75, 0.5, 0.25]}
    yield {"flow": "three", "steps": 4, "schedule": "timesteps", "timesteps": [1000.0, 750.0, 500.0, 250.0]}


def heun():
    yield from covering({"flow": SHIFTS, "steps": STEPS, "schedule": ("flow",)})
    yield {"flow": "three", "steps": 7, "schedule": "flow", "shape": "even"}


def dpm(**factors):
    yield from covering({"flow": SHIFTS, "schedule": ("flow",), **factors, "steps": (10, 15, 14, 3, 2, 1)})


def multistep():
    yield from dpm()
    yield {"flow": "exponential", "steps": 10, "schedule": "flow"}


def unipc():
    yield from dpm(order=(2, 3))
    yield {"flow": "exponential", "steps": 10, "schedule": "flow"}
    yield {"flow": "exponential-terminal", "steps": 10, "schedule": "flow"}
    yield {"flow": "three", "steps": 4, "schedule": "sigmas", "sigmas": [1.0, 0.75, 0.5, 0.25]}
    yield {"flow": "one", "steps": 5, "schedule": "karras", "sigma_min": 0.01, "sigma_max": 200.0}


def deis():
    return dpm(order=(2, 3), final=("sigma_min",))


SOLVER = {"order": 2}
FAMILIES = (
    ("euler", FlowMatchEulerDiscreteScheduler, euler, {"stochastic": False}, {}),
    ("heun", FlowMatchHeunDiscreteScheduler, heun, {}, {}),
    ("dpm++2m", DPMSolverMultistepScheduler, multistep, SOLVER, {}),
    ("dpm++3m", DPMSolverMultistepScheduler, dpm, SOLVER, {"solver_order": 3}),
    ("dpm++2m_sde", DPMSolverMultistepScheduler, dpm, SOLVER, {"algorithm_type": "sde-dpmsolver++"}),
    ("dpm++2s", DPMSolverSinglestepScheduler, dpm, SOLVER, {}),
    ("unipc", UniPCMultistepScheduler, unipc, SOLVER, {}),
    ("deis", DEISMultistepScheduler, deis, SOLVER, {}),
)


def configuration(cls, case):
    flow = case["flow"]
    dynamic = {"use_dynamic_shifting": True, "time_shift_type": flow["dynamic"]} if "dynamic" in flow else {}
    rest = {key: flow[key] for key in ("shift_terminal", "invert_sigmas") if key in flow}
    if "FlowMatch" in cls.__name__:
        stochastic = {"stochastic_sampling": True} if case["options"].get("stochastic") else {}
        return {"shift": flow.get("shift", 1.0)} | dynamic | rest | stochastic
    return {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": flow.get("shift", 1.0)} | dynamic | rest


def main():
    goldens = Goldens()
    for sampler, cls, rows, options, fixed in FAMILIES:
        for row in rows():
            case = case_of(sampler, row | {"prediction": "flow", "betas": "flow"}, options)
            case["flow"] = FLOWS[row["flow"]]
            scheduler = scheduler_of(cls, case, **configuration(cls, case) | fixed)
            set_timesteps(scheduler, case, **({"mu": case["flow"]["mu"]} if "mu" in case["flow"] else {}))
            goldens.add(case, walk(scheduler, case))
    goldens.save(__file__)


if __name__ == "__main__":
    main()
