"""What a diffusers scheduler's configuration means in model.json's words."""

# What darkroom calls diffusers' schedulers; those that are several samplers in one are told apart below.
SAMPLERS = {
    "DDIMScheduler": "ddim", "DDPMScheduler": "ddpm", "LCMScheduler": "lcm", "TCDScheduler": "tcd",
    "EulerDiscreteScheduler": "euler", "EulerAncestralDiscreteScheduler": "euler_a", "HeunDiscreteScheduler": "heun",
    "KDPM2DiscreteScheduler": "dpm2", "KDPM2AncestralDiscreteScheduler": "dpm2_a", "LMSDiscreteScheduler": "lms",
    "DPMSolverSinglestepScheduler": "dpm++2s", "UniPCMultistepScheduler": "unipc", "DEISMultistepScheduler": "deis",
}
MULTISTEP_SAMPLERS = {
    ("dpmsolver++", 2): "dpm++2m", ("dpmsolver++", 3): "dpm++3m",
    ("sde-dpmsolver++", 2): "dpm++2m_sde", ("sde-dpmsolver++", 3): "dpm++3m_sde", ("dpmsolver", 2): "dpm_solver",
}
SAMPLER_NAMES = sorted({*SAMPLERS.values(), *MULTISTEP_SAMPLERS.values(), "plms", "pndm"})
CURVES = {"use_karras_sigmas": "karras", "use_exponential_sigmas": "exponential", "use_beta_sigmas": "beta",
          "use_lu_lambdas": "lu"}
SPACINGS = {name: name for name in ("leading", "trailing", "linspace")}
SPACING_NAMES = sorted({*CURVES.values(), *SPACINGS.values()})
KINDS = {"linear": "linear", "scaled_linear": "scaled_linear", "squaredcos_cap_v2": "cosine", "sigmoid": "sigmoid"}
PREDICTIONS = {"epsilon": "epsilon", "v_prediction": "v", "sample": "sample"}
VARIANCES = {name: name for name in ("fixed_small", "fixed_large", "learned_range")}
# What model.json cannot say: a scheduler that sets another value would walk another way here.
ONLY = {"timestep_type": "discrete", "interpolation_type": "linear", "sigma_min": None, "sigma_max": None,
        "use_flow_sigmas": False, "timestep_scaling": 10.0, "original_inference_steps": 50}


def walk_entry(config) -> dict:
    """Of the diffusion stage in model.json."""
    for key, value in ONLY.items():
        if config.get(key, value) != value:
            raise unknown(key, config[key], [value])
    entry = {"prediction": known(config, "prediction_type", PREDICTIONS, "epsilon"),
             "variance": known(config, "variance_type", VARIANCES, "fixed_small"),
             "schedule": schedule_entry(config),
             "steps_offset": config.get("steps_offset", 0),
             "set_alpha_to_one": config.get("set_alpha_to_one", True)}
    # diffusers' own precedence: thresholding, where it is on, replaces clipping.
    if config.get("thresholding"):
        entry["thresholding"] = {"ratio": config["dynamic_thresholding_ratio"], "max": config["sample_max_value"]}
    elif config.get("clip_sample"):
        entry["clip_sample"] = config.get("clip_sample_range", 1.0)
    return entry


def schedule_entry(config) -> dict:
    entry = {"steps": config["num_train_timesteps"]}
    if config.get("trained_betas") is not None:
        entry |= {"kind": "trained", "betas": [float(beta) for beta in config["trained_betas"]]}
    else:
        entry |= {"kind": known(config, "beta_schedule", KINDS), "beta_start": config["beta_start"],
                  "beta_end": config["beta_end"]}
    return entry | {"zero_terminal_snr": config.get("rescale_betas_zero_snr", False)}


def sampler_of(scheduler) -> str:
    """darkroom's name of it; for a scheduler that has none, DDIM, which every model can be walked with."""
    name, config = type(scheduler).__name__, scheduler.config
    if name == "PNDMScheduler":
        return "plms" if config.skip_prk_steps else "pndm"
    if name == "DPMSolverMultistepScheduler":
        return MULTISTEP_SAMPLERS.get((config.algorithm_type, config.solver_order), "dpm++2m")
    return SAMPLERS.get(name, "ddim")


def spacing_of(scheduler) -> str:
    for key, curve in CURVES.items():
        if scheduler.config.get(key):
            return curve
    return known(scheduler.config, "timestep_spacing", SPACINGS, "leading")


def known(config, key: str, values: dict, default: str | None = None) -> str:
    value = config.get(key) or default
    if value not in values:
        raise unknown(key, value, values)
    return values[value]


def unknown(key: str, value, values) -> ValueError:
    return ValueError(f"scheduler/scheduler_config.json: {key}: {value!r} is not {' or '.join(map(repr, values))}")
