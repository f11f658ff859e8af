"""Records what LoRA files make of the networks of tests/models/tiny, for tests/model: lora.safetensors.

    PYTHONPATH=scripts .deps/python/bin/python tests/goldens/record_lora.py

Tensors: file.FILE/KEY, the LoRA files themselves; CASE/NETWORK/PARAMETER, every weight that differs afterwards; for the case
with a run also CASE/latents (steps,B,4,h,w) and CASE/image. Metadata: `versions`; `files`, FILE -> the metadata it has;
`cases`, a JSON list of {name, loras: [[FILE, weight], ...], by}, where `by` is "diffusers" (fuse_lora) or "formula";
`run`, settings in darkroom's terms; `original_names`, FAMILY -> {module of the original U-Net: module in diffusers}.

diffusers 0.42.1 loses the alphas of most modules of a kohya file as soon as they differ, and knows no lora_mid: what these
files do is recorded from the trainers' formula, weight * alpha / rank * up down."""

import json
import tempfile
from pathlib import Path

import diffusers
import numpy
import peft
import torch
import transformers
from diffusers import UNet2DConditionModel
from lora_files import (
    diffusers_file,
    kohya,
    kohya_stem,
    modules,
    original_keys,
    original_names,
    peft_file,
    processors_file,
    random_lora,
)
from pipeline_models import tiny
from safetensors.torch import save_file
from torch import Tensor

FILE = Path(__file__).with_name("lora.safetensors")
VERSIONS = {module.__name__: module.__version__ for module in (diffusers, numpy, peft, torch, transformers)}
RUN = {"prompt": "a slice of pizza on a teal background", "negative_prompt": "blurry", "seed": 7, "width": 40,
       "height": 48, "steps": 3, "cfg_scale": 6.0}
COMPONENTS = {"unet": "unet", "text_encoder": "text"}  # of diffusers' pipeline: darkroom's network


def transformers_only(component: str, name: str) -> bool:
    return component == "text_encoder" or ("attentions" in name and not name.startswith("up_blocks"))


def convolutions(component: str, name: str) -> bool:
    return component == "unet" and "attentions" not in name


def make_files(pipeline) -> tuple[dict, dict]:
    """The files' tensors and metadata."""
    torch.manual_seed(4)
    style = random_lora(modules(pipeline, transformers_only))
    locon = random_lora(modules(pipeline, convolutions))
    half = {place: {part: tensor.half() for part, tensor in pair.items()} for place, pair in style.items()}
    tucker = {("unet", "mid_block.resnets.0.conv1"): {
        "down": torch.randn(3, 8, 1, 1), "mid": 0.2 * torch.randn(2, 3, 3, 3), "up": torch.randn(8, 2, 1, 1)}}
    configuration = {f"{component}.{key}": value for component in COMPONENTS for key, value in {
        "r": 2, "lora_alpha": 1.5, "rank_pattern": ranks(style, component), "use_rslora": component == "unet",
        "alpha_pattern": {"attn2.to_k": 0.5, "mlp.fc1": 3.0},
        "target_modules": [name for owner, name in style if owner == component]}.items()}
    files = {"kohya": kohya(style, lambda _: 1.5), "kohya-fp16": kohya(half, lambda index: 1 + index % 3),
             "peft": peft_file(style), "peft-alpha": peft_file(style), "diffusers": diffusers_file(style),
             "processors": processors_file(style),
             "locon-bf16": {key: tensor.bfloat16() for key, tensor in kohya(locon, lambda _: 1.0).items()},
             "tucker": kohya(tucker, lambda _: 2.0)}
    return files, {"peft-alpha": {"format": "pt", "lora_adapter_metadata": json.dumps(configuration)}}


def ranks(lora: dict, component: str) -> dict[str, int]:
    return {f"^{name}": len(pair["down"]) for (owner, name), pair in lora.items()
            if owner == component and len(pair["down"]) != 2}


CASES = [
    ("kohya", [("kohya", 1.0)], "diffusers"),
    ("peft", [("peft", 1.0)], "diffusers"),
    ("diffusers", [("diffusers", 1.0)], "diffusers"),
    ("processors", [("processors", 1.0)], "diffusers"),
    ("peft-alpha", [("peft-alpha", 0.6)], "diffusers"),
    ("locon", [("locon-bf16", 0.8)], "diffusers"),
    ("two", [("kohya", 0.7), ("locon-bf16", -0.4)], "diffusers"),
    ("alphas", [("kohya-fp16", 1.3)], "formula"),
    ("tucker", [("tucker", 0.5)], "formula"),
]


def weights(pipeline) -> dict[str, Tensor]:
    return {f"{network}/{name}": weight.detach().clone() for component, network in COMPONENTS.items()
            for name, weight in getattr(pipeline, component).named_parameters()}


def fused(loras: list, files: dict, metadata: dict):
    pipeline = tiny()
    with tempfile.TemporaryDirectory() as folder:
        for name, _ in loras:
            save_file(files[name], f"{folder}/{name}.safetensors", metadata.get(name))
            pipeline.load_lora_weights(folder, weight_name=f"{name}.safetensors", adapter_name=name)
    pipeline.set_adapters([name for name, _ in loras], [weight for _, weight in loras])
    pipeline.fuse_lora(adapter_names=[name for name, _ in loras])
    pipeline.unload_lora_weights()
    return pipeline


def by_formula(loras: list, files: dict) -> dict[str, Tensor]:
    result = weights(tiny())
    for name, strength in loras:
        for component, network in COMPONENTS.items():
            for key, weight in result.items():
                stem = kohya_stem(component, key.removeprefix(network + "/").removesuffix(".weight"))
                if not key.startswith(network + "/") or f"{stem}.alpha" not in files[name]:
                    continue
                down, up, mid = (files[name].get(f"{stem}.lora_{part}.weight") for part in ("down", "up", "mid"))
                scale = strength * files[name][f"{stem}.alpha"].item() / len(down)
                down, up = down.double().flatten(1), up.double().flatten(1)
                change = up @ down if mid is None else torch.einsum("or,rsyx,si->oiyx", up, mid.double(), down)
                result[key] = (weight.double() + scale * change.reshape(weight.shape)).float()
    return result


@torch.no_grad()
def run(pipeline) -> dict[str, Tensor]:
    latents = []
    image = pipeline(
        RUN["prompt"], negative_prompt=RUN["negative_prompt"], width=RUN["width"], height=RUN["height"],
        num_inference_steps=RUN["steps"], guidance_scale=RUN["cfg_scale"], output_type="pil",
        generator=torch.Generator().manual_seed(RUN["seed"]),
        callback_on_step_end=lambda pipe, step, t, values: latents.append(values["latents"].clone()) or {}).images[0]
    assert all(0.3 < x.std() < 3 for x in latents), "latents that no trained model would have"
    return {"latents": torch.stack(latents), "image": torch.from_numpy(numpy.array(image))}


def names_of_families() -> dict[str, dict[str, str]]:
    """Blocks of a transformer beyond the first are left out: they differ in their number alone."""
    sdxl = {"block_out_channels": [320, 640, 1280], "transformer_layers_per_block": [1, 2, 10],
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "cross_attention_dim": 2048,
            "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816}
    with torch.device("meta"):
        families = {
            "sd1": (UNet2DConditionModel(cross_attention_dim=768), original_keys([320, 640, 1280, 1280], [1, 1, 1, 0], 2)),
            "sdxl": (UNet2DConditionModel(**sdxl), original_keys([320, 640, 1280], [0, 2, 10], 2, added=True))}
    return {family: {key: name for name, key in original_names(unet, keys).items()
                     if "transformer_blocks" not in name or "transformer_blocks.0" in name}
            for family, (unet, keys) in families.items()}


def main() -> None:
    before = weights(tiny())
    files, metadata = make_files(tiny())
    tensors = {f"file.{name}/{key}": tensor for name, file in files.items() for key, tensor in file.items()}
    for name, loras, source in CASES:
        if source == "diffusers":
            pipeline = fused(loras, files, metadata)
            after = weights(pipeline)
            if name == "two":
                tensors |= {f"{name}/{key}": value for key, value in run(pipeline).items()}
        else:
            after = by_formula(loras, files)
        changed = {key: weight for key, weight in after.items() if not torch.equal(weight, before[key])}
        print(f"{name}: {len(changed)} weights changed")
        assert len(changed) == sum(key.endswith(("up.weight", "lora_B.weight")) for file, _ in loras for key in files[file])
        tensors |= {f"{name}/{key}": weight for key, weight in changed.items()}
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, FILE, {
        "versions": json.dumps(VERSIONS), "files": json.dumps({name: metadata.get(name, {}) for name in files}),
        "cases": json.dumps([{"name": name, "loras": loras, "by": source} for name, loras, source in CASES]),
        "run": json.dumps(RUN), "original_names": json.dumps(names_of_families())})


if __name__ == "__main__":
    main()
