"""Records what diffusers' StableDiffusionPipeline does with the networks of tests/models.

    PYTHONPATH=scripts .deps/python/bin/python tests/goldens/pipeline_record.py

pipeline_runs.safetensors: whole runs, for tests/model. Metadata: `versions`, and `cases`, a JSON list of settings in
darkroom's terms: {name, model, prompts, negative_prompt or null, seeds, width, height, steps, cfg_scale, sampler,
schedule, eta}. Per case and picture b of the batch: NAME/ids, NAME/negative_ids (B,77); NAME/context,
NAME/negative_context (B,77,C); NAME/noise, the start (B,4,h,w); NAME/latents, after each step (steps,B,4,h,w); NAME/image
(B,height,width,3) uint8.

pipeline_networks.safetensors: single calls of the originals, for tests/nn: MODEL.NETWORK.BATCH/ROLE for every input and
output. Metadata: `versions`, and `parameters`, a JSON object MODEL.NETWORK -> {name: shape} from the state dicts."""

import json
from pathlib import Path

import diffusers
import numpy
import torch
import transformers
from diffusers import DDIMScheduler, DDPMScheduler, StableDiffusionPipeline
from pipeline_models import tiny, tiny_v
from safetensors.torch import save_file

from exporter.networks import networks_of

GOLDENS = Path(__file__).parent
VERSIONS = {module.__name__: module.__version__ for module in (diffusers, numpy, torch, transformers)}
SAMPLERS = {"ddim": DDIMScheduler, "ddpm": DDPMScheduler}
PROMPTS = ["a slice of pizza on a teal background", "the café's 2 best boats! ☂"]
SIZES = [(5, 7), (8, 6), (9, 10)]  # rows and columns of latents, for batches 1, 2, 3


def cases():
    base = {"model": "tiny", "prompts": PROMPTS, "negative_prompt": None, "seeds": [3, 4294967295], "width": 40,
            "height": 48, "steps": 5, "cfg_scale": 6.0, "sampler": "ddim", "schedule": "leading", "eta": 0.0}
    yield {"name": "ddim"} | base
    yield {"name": "ddim-negative"} | base | {"negative_prompt": "blurry, low quality", "steps": 3}
    yield {"name": "ddim-unguided"} | base | {"cfg_scale": 1.0, "steps": 4}
    yield {"name": "ddim-eta"} | base | {"eta": 1.0, "steps": 4}
    yield {"name": "ddim-single"} | base | {"prompts": PROMPTS[:1], "seeds": [12], "width": 24, "height": 32}
    yield {"name": "ddpm"} | base | {"sampler": "ddpm"}
    yield {"name": "ddpm-unguided"} | base | {"sampler": "ddpm", "cfg_scale": 1.0, "steps": 3}
    zero_snr = base | {"model": "tiny-v", "schedule": "trailing"}
    yield {"name": "v-ddim"} | zero_snr
    yield {"name": "v-ddim-eta"} | zero_snr | {"eta": 1.0, "steps": 4}
    yield {"name": "v-ddpm"} | zero_snr | {"sampler": "ddpm", "steps": 4}


@torch.no_grad()
def record_run(pipeline: StableDiffusionPipeline, case: dict) -> dict:
    negatives = [case["negative_prompt"] or ""] * len(case["prompts"])
    context, negative_context = pipeline.encode_prompt(case["prompts"], "cpu", 1, True, negatives)
    noise, latents = [], []

    prepare = pipeline.prepare_latents
    pipeline.prepare_latents = lambda *args: noise.append(prepare(*args)) or noise[0]
    images = pipeline(
        case["prompts"], negative_prompt=negatives, width=case["width"], height=case["height"],
        num_inference_steps=case["steps"], guidance_scale=case["cfg_scale"], eta=case["eta"], output_type="pil",
        generator=[torch.Generator().manual_seed(seed) for seed in case["seeds"]],
        callback_on_step_end=lambda pipe, step, t, values: latents.append(values["latents"].clone()) or {}).images
    pipeline.prepare_latents = prepare
    assert all(0.3 < x.std() < 3 for x in latents), "latents that no trained model would have"

    def ids(texts):
        return pipeline.tokenizer(texts, padding="max_length", max_length=77, truncation=True,
                                  return_tensors="pt").input_ids

    return {"ids": ids(case["prompts"]), "negative_ids": ids(negatives), "context": context,
            "negative_context": negative_context, "noise": noise[0], "latents": torch.stack(latents),
            "image": torch.from_numpy(numpy.stack([numpy.asarray(image) for image in images]))}


@torch.no_grad()
def record_networks(pipeline: StableDiffusionPipeline, model: str) -> tuple[dict, dict]:
    torch.manual_seed(3)
    tensors, parameters = {}, {}
    for network in networks_of(pipeline):
        component = getattr(pipeline, network.component)
        weights = component.state_dict()
        parameters[f"{model}.{network.name}"] = {
            name: list(weights[name].shape) for name in network.parameter_names(component)}
        for batch, size in enumerate(SIZES, start=1):
            inputs = network.example(batch, *size)
            outputs = network.original(component, *inputs)
            values = zip([*network.inputs, *network.outputs], [*inputs, *outputs], strict=True)
            tensors |= {f"{model}.{network.name}.{batch}/{role}": value for role, value in values}
    return tensors, parameters


def save(tensors: dict, file: str, **metadata) -> None:
    metadata = {key: json.dumps(value, ensure_ascii=False) for key, value in metadata.items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, GOLDENS / file, metadata)


def main() -> None:
    pipelines = {"tiny": tiny(), "tiny-v": tiny_v()}
    networks, parameters, runs = {}, {}, {}
    for model, pipeline in pipelines.items():
        pipeline.set_progress_bar_config(disable=True)
        calls, names = record_networks(pipeline, model)
        networks |= calls
        parameters |= names
    save(networks, "pipeline_networks.safetensors", versions=VERSIONS, parameters=parameters)

    for case in cases():
        pipeline = pipelines[case["model"]]
        pipeline.scheduler = SAMPLERS[case["sampler"]].from_config(pipeline.scheduler.config)
        runs |= {f"{case['name']}/{name}": tensor for name, tensor in record_run(pipeline, case).items()}
    save(runs, "pipeline_runs.safetensors", versions=VERSIONS, cases=list(cases()))


if __name__ == "__main__":
    main()
