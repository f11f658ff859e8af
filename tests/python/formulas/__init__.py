"""The samplers' formulas once more, in float64: what the recorded walks are held against.

Each function yields the state after every grid step. It takes levels, timesteps and noise from the recording, in order,
and everything else from the formula.
"""

from formulas import dpm, k, sigma, timestep
from formulas.recording import Recording

DIFFUSERS = {
    "euler": sigma.euler,
    "euler_a": sigma.euler_a,
    "heun": sigma.heun,
    "dpm2": sigma.dpm2,
    "dpm2_a": sigma.dpm2_a,
    "lms": sigma.lms,
    "dpm++sde": sigma.dpmpp_sde,
    "dpm++2m": lambda r: dpm.multistep(r, r.options.get("order", 2), "x0"),
    "dpm++3m": lambda r: dpm.multistep(r, 3, "x0"),
    "dpm++2m_sde": lambda r: dpm.multistep(r, r.options.get("order", 2), "sde"),
    "dpm++3m_sde": lambda r: dpm.multistep(r, 3, "sde"),
    "dpm_solver": lambda r: dpm.multistep(r, r.options["order"], "eps"),
    "unipc": dpm.unipc,
    "deis": dpm.deis,
    "dpm++2s": dpm.singlestep,
    "plms": timestep.plms,
    "pndm": timestep.pndm,
    "lcm": timestep.lcm,
    "tcd": timestep.tcd,
    "ipndm": timestep.ipndm,
}

K = {
    "euler": lambda r: k.churned(r, k.euler_step),
    "heun": lambda r: k.churned(r, k.heun_step),
    "dpm2": lambda r: k.churned(r, sigma.dpm2_step),
    "euler_a": lambda r: k.with_noise(r, k.euler_step),
    "dpm2_a": lambda r: k.with_noise(r, sigma.dpm2_step),
    "dpm++2s_a": lambda r: k.with_noise(r, k.dpmpp_2s_step),
    "lms": sigma.lms,
    "dpm++2m": k.dpmpp_2m,
    "dpm++2m_sde": lambda r: k.multistep_sde(r, 2),
    "dpm++3m_sde": lambda r: k.multistep_sde(r, 3),
    "dpm++sde": k.dpmpp_sde,
    "dpm_adaptive": k.dpm_adaptive,
}
