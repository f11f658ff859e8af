"""Checkpoints in one file: equal to the folder they were written from, to what diffusers makes of them, and to published
lists of tensors.

The lists, tests/goldens/keys_*.txt.gz, hold a name and a shape a line. sd1 and sdxl are those of sd-mecha 1.1.8's
model_configs (MIT): all that published checkpoints hold, with averaged weights and schedule. sd2 and sdxl-refiner are
original_layout.py's of networks with the published configurations; their U-Nets, version 2's text encoder and the
autoencoder have the same number of characters and the same ends as the listings in
github.com/arenasys/stable-diffusion-webui-model-toolkit (components/, MIT)."""

import gzip
import json
import resource
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from exporting import ROOT, Model, export, fault  # first: it sets the path
from diffusers import AutoencoderKL, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from exporter import checks, single_file
from exporter.checkpoint import Checkpoint
from exporter.networks import networks_of
from miniatures import miniature
from original_layout import in_original_layout
from safetensors.torch import load_file, save_file

# Miniature -> its family, where that must be said.
FILES = {"sd1": None, "sd1_inpaint": None, "sd2": None, "sd2_v": "sd2-v", "sd_turbo": "sd-turbo", "sdxl": None,
         "sdxl_turbo": "sdxl-turbo", "pruned_sdxl": None, "refiner": None}
RECOGNISED = {"sd1": "sd1", "sd1_inpaint": "sd1-inpaint", "sd2": "sd2", "sdxl": "sdxl", "pruned_sdxl": "sdxl",
              "refiner": "sdxl-refiner"}
NETWORKS = ["unet", "vae", "text_encoder", "text_encoder_2"]


@pytest.fixture(scope="session")
def file(tmp_path_factory):
    """Family -> its checkpoint in the original layout."""
    files = {}

    def write(family: str) -> Path:
        if family not in files:
            files[family] = tmp_path_factory.mktemp("files") / f"{family}.safetensors"
            save_file(in_original_layout(miniature(family)), files[family])
        return files[family]

    return write


def networks(pipeline) -> list[str]:
    return [name for name in NETWORKS if getattr(pipeline, name, None) is not None]


def meaning(config) -> dict:
    """Of a scheduler's configuration, without where it came from."""
    return {key: value for key, value in dict(config).items() if not key.startswith("_")}


@pytest.mark.parametrize("family", FILES)
def test_a_file_holds_what_the_folder_holds(family, file):
    pipeline = miniature(family)
    source, name = single_file.read_single_file(file(family), FILES[family])
    assert name == FILES[family] or name == RECOGNISED[family]
    assert type(source.pipeline) is type(pipeline) and networks(source.pipeline) == networks(pipeline)
    for part in networks(pipeline):
        weights, wanted = source.load(part, torch.float32).state_dict(), getattr(pipeline, part).state_dict()
        assert weights.keys() == wanted.keys()
        assert all(torch.equal(weights[name], wanted[name]) for name in wanted)
        mine, theirs = (getattr(which, part).config for which in (source.pipeline, pipeline))
        for key in ("attention_head_dim", "num_attention_heads", "hidden_act", "norm_num_groups", "scaling_factor",
                    "down_block_types", "up_block_types", "mid_block_type", "eos_token_id", "addition_embed_type"):
            assert getattr(mine, key, None) == getattr(theirs, key, None), key
    assert type(source.pipeline.scheduler) is type(pipeline.scheduler)
    assert meaning(source.pipeline.scheduler.config) == meaning(pipeline.scheduler.config)
    for name in ("tokenizer", "tokenizer_2"):
        if getattr(pipeline, name, None):
            mine, theirs = getattr(source.pipeline, name), getattr(pipeline, name)
            assert mine.get_vocab() == theirs.get_vocab() and mine("a !cat").input_ids == theirs("a !cat").input_ids
            assert mine.pad_token_id == theirs.pad_token_id


@pytest.mark.parametrize("family, kind", [("sd1", StableDiffusionPipeline), ("sd2", StableDiffusionPipeline),
                                          ("sdxl", StableDiffusionXLPipeline)])
def test_diffusers_reads_the_same_from_the_file(family, kind, file, folders):
    """Which says that these files are in the original layout."""
    pipeline = kind.from_single_file(str(file(family)), config=str(folders(family)), local_files_only=True)
    for part in networks(pipeline):
        weights, wanted = getattr(pipeline, part).state_dict(), getattr(miniature(family), part).state_dict()
        assert weights.keys() == wanted.keys()
        assert all(torch.equal(weights[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("family", ["refiner", "pruned_sdxl"])
def test_diffusers_reads_the_same_networks_from_the_file(family, file, folders):
    tensors = load_file(file(family))
    for part, kind in (("unet", UNet2DConditionModel), ("vae", AutoencoderKL)):
        model = kind.from_single_file(dict(tensors), config=str(folders(family)), subfolder=part, local_files_only=True)
        wanted = getattr(miniature(family), part).state_dict()
        assert all(torch.equal(value, wanted[name]) for name, value in model.state_dict().items())


def test_the_exported_folders_are_the_same(file, folders, tmp_path, monkeypatch):
    """But for the hashes: classes in TorchScript carry numbers that count on from one export to the next in a process."""
    monkeypatch.setattr(checks, "PICTURES", [])
    size = ["--width", "32", "--height", "32", "--name", "same"]
    sources = {"file": file("sd1"), "folder": folders("sd1")}
    models = [Model(export(source, tmp_path / name, *size)) for name, source in sources.items()]
    for network in networks_of(miniature("sd1")):
        inputs = dict(zip(network.inputs, network.example(2, 5, 4), strict=True))
        of_file, of_folder = (model.run(network.name, **inputs) for model in models)
        assert all(torch.equal(of_file[role], of_folder[role]) for role in network.outputs)
        a, b = (model.networks[network.name].state_dict() for model in models)
        assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
        for model in models:
            del model.json["networks"][network.name]["sha256"]
    assert models[0].json == models[1].json
    assert (tmp_path / "file/merges.txt").read_bytes() == (tmp_path / "folder/merges.txt").read_bytes()


class Shapes(Checkpoint):
    """A published list of tensors instead of a file."""

    def __init__(self, family: str):
        lines = gzip.decompress((ROOT / f"tests/goldens/keys_{family}.txt.gz").read_bytes()).decode().splitlines()
        self.shapes = {name: tuple(json.loads(shape)) for name, shape in (line.split(" ") for line in lines)}
        self.metadata = {"modelspec.prediction_type": "v"}

    def __getitem__(self, name):
        return torch.empty(self.shapes[name], device="meta")


# Of the published configurations, what shapes have to tell.
PUBLISHED = {
    "sd1": {"sample_size": 64, "attention_head_dim": 8, "cross_attention_dim": 768, "use_linear_projection": False,
            "transformer_layers_per_block": [1, 1, 1, 1], "block_out_channels": [320, 640, 1280, 1280]},
    "sd2": {"sample_size": 96, "attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024,
            "use_linear_projection": True, "transformer_layers_per_block": [1, 1, 1, 1]},
    "sdxl": {"sample_size": 128, "attention_head_dim": [5, 10, 20], "cross_attention_dim": 2048,
             "transformer_layers_per_block": [1, 2, 10], "projection_class_embeddings_input_dim": 2816,
             "addition_time_embed_dim": 256, "block_out_channels": [320, 640, 1280],
             "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
             "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]},
    "sdxl-refiner": {"sample_size": 128, "attention_head_dim": [6, 12, 24, 24], "cross_attention_dim": 1280,
                     "transformer_layers_per_block": [1, 4, 4, 4], "projection_class_embeddings_input_dim": 2560,
                     "block_out_channels": [384, 768, 1536, 1536]},
}
ENCODERS = {  # hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, hidden_act
    "sd1": {"text_encoder": (768, 12, 12, 3072, "quick_gelu")}, "sd2": {"text_encoder": (1024, 23, 16, 4096, "gelu")},
    "sdxl": {"text_encoder": (768, 12, 12, 3072, "quick_gelu"), "text_encoder_2": (1280, 32, 20, 5120, "gelu")},
    "sdxl-refiner": {"text_encoder_2": (1280, 32, 20, 5120, "gelu")},
}
PARAMETERS = {"sd1": 859_520_964, "sd2": 865_910_724, "sdxl": 2_567_463_684}  # of the U-Nets, as published


@pytest.mark.parametrize("family", PUBLISHED)
def test_published_lists_of_tensors(family, monkeypatch):
    monkeypatch.setattr(single_file, "Checkpoint", lambda file: Shapes(family))
    source, name = single_file.read_single_file(Path("published.safetensors"))
    assert name == ("sd2-v" if family == "sd2" else family)
    for part in networks(source.pipeline):
        source.parts[part].weights(torch.float16)  # every tensor has its place and its shape
    unet = source.pipeline.unet
    assert {key: unet.config[key] for key in PUBLISHED[family]} == PUBLISHED[family]
    assert family not in PARAMETERS or unet.num_parameters() == PARAMETERS[family]
    for encoder, wanted in ENCODERS[family].items():
        config = getattr(source.pipeline, encoder).config
        assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads, config.intermediate_size,
                config.hidden_act) == wanted
    vae = source.pipeline.vae.config
    assert vae.block_out_channels == [128, 256, 512, 512] and vae.layers_per_block == 2 and vae.latent_channels == 4
    assert vae.scaling_factor == (0.13025 if family.startswith("sdxl") else 0.18215)
    for name in ("tokenizer", "tokenizer_2"):
        tokenizer = getattr(source.pipeline, name, None)
        assert tokenizer is None or tokenizer("a photo of an astronaut riding a horse on mars").input_ids == [
            49406, 320, 1125, 539, 550, 18376, 6765, 320, 4558, 525, 7496, 49407]


def test_ckpt_files_are_read_for_their_tensors_alone(file, tmp_path):
    tensors = load_file(file("sd1"))
    module = type(sys)("trainer_of_this_checkpoint")
    callback = type("Callback", (), {"__module__": module.__name__})
    module.Callback = callback
    sys.modules[module.__name__] = module
    content = {"state_dict": tensors, "callbacks": {callback: {"best": callback()}}, "epoch": 3}
    for name, modern in (("new.ckpt", True), ("old.ckpt", False)):
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=modern)
    del sys.modules[module.__name__]
    for name in ("new.ckpt", "old.ckpt"):
        checkpoint = Checkpoint(tmp_path / name)
        assert checkpoint.shapes == {name: tuple(value.shape) for name, value in tensors.items()}
        assert all(torch.equal(checkpoint[name], tensors[name]) for name in tensors)
    assert module.__name__ not in sys.modules


@pytest.mark.parametrize("modern", [True, False])
def test_code_in_a_ckpt_is_refused_and_not_run(modern, tmp_path):
    mark = tmp_path / "mark"

    class Run:
        def __reduce__(self):
            return subprocess.run, (["touch", str(mark)],)

    spoiled = tmp_path / "spoiled.ckpt"
    torch.save({"state_dict": {"w": torch.ones(2)}, "x": Run()}, spoiled, _use_new_zipfile_serialization=modern)
    assert "holds code: reading it as a pickle would call subprocess.run; nothing of it was run" in fault(spoiled)
    assert not mark.exists()


def test_old_names_of_the_text_encoder(file, tmp_path):
    tensors = {name.replace("cond_stage_model.transformer.text_model.", "cond_stage_model.transformer."): value
               for name, value in load_file(file("sd1")).items()}
    save_file(tensors, tmp_path / "old.safetensors")
    source, _ = single_file.read_single_file(tmp_path / "old.safetensors")
    weights, wanted = source.load("text_encoder", torch.float32).state_dict(), miniature("sd1").text_encoder.state_dict()
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)


def test_what_a_file_says_of_its_training(file, tmp_path):
    tensors = load_file(file("sdxl"))
    save_file(tensors | {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}, tmp_path / "v.safetensors",
              {"modelspec.license": "its licence"})
    source, _ = single_file.read_single_file(tmp_path / "v.safetensors")
    config = source.pipeline.scheduler.config
    assert config.prediction_type == "v_prediction" and config.rescale_betas_zero_snr
    assert source.license == "its licence"
    save_file(tensors | {"edm_vpred.sigma_max": torch.ones(())}, tmp_path / "edm.safetensors")
    assert "noise levels of EDM" in fault(tmp_path / "edm.safetensors")
    tensors = load_file(file("sd2"))
    bias = tensors["model.diffusion_model.output_blocks.3.1.transformer_blocks.0.norm1.bias"]
    bias.copy_(torch.linspace(-1, 1, len(bias)))
    save_file(tensors, tmp_path / "v2.safetensors")
    assert single_file.read_single_file(tmp_path / "v2.safetensors")[1] == "sd2-v"


@pytest.mark.parametrize("base", ["folder", "file"])
def test_another_autoencoder(base, file, folders, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "PICTURES", [])
    source = folders("sdxl") if base == "folder" else file("sdxl")
    other = in_original_layout(miniature("sd1"))
    alone = {name.removeprefix("first_stage_model."): value for name, value in other.items() if "first_stage" in name}
    (tmp_path / "vae").mkdir()
    save_file(alone, tmp_path / "vae" / "vae.safetensors")
    for vae, scale in (("vae/vae.safetensors", 0.13025), (folders("sd1") / "vae", 0.18215), (folders("sd1_taesd"), 1.0),
                       (folders("sd1_taesd") / "vae/diffusion_pytorch_model.safetensors", 1.0)):
        options = export_options(source, tmp_path / vae)
        assert options.pipeline.vae.config.scaling_factor == scale
        wanted = miniature("sd1_taesd" if scale == 1 else "sd1").vae.state_dict()
        weights = options.load("vae", torch.float32).state_dict()
        assert all(torch.equal(weights[name], wanted[name]) for name in wanted)


def test_the_file_that_is_named_is_the_autoencoder(folders, tmp_path):
    """Whatever configuration lies beside it."""
    place = Path(shutil.copytree(folders("sd1_taesd") / "vae", tmp_path / "vae"))
    other = {name.removeprefix("first_stage_model."): value for name, value in in_original_layout(miniature("sd1")).items()
             if "first_stage" in name}
    save_file(other, place / "other.safetensors")
    assert export_options(folders("sd1"), place / "other.safetensors").pipeline.vae.config.scaling_factor == 0.18215
    assert "gone.safetensors: [Errno 2] No such file" in fault(folders("sd1"), "--vae", str(place / "gone.safetensors"))
    fp16 = place / "diffusion_pytorch_model.fp16.safetensors"
    shutil.copy(place / "diffusion_pytorch_model.safetensors", fp16)
    assert f"--vae {fp16}: holds no autoencoder in the original layout" in fault(folders("sd1"), "--vae", str(fp16))


def export_options(source: Path, vae: Path):
    from exporter import __main__ as exporter

    return exporter.read(exporter.parse([str(source), "-o", "unused", "--vae", str(vae)]))


# What other files hold -> what is said of them.
OTHERS = {
    "double_blocks.0.img_attn.norm.key_norm.scale": "a model of the family flux",
    "model.diffusion_model.joint_blocks.37.x_block.mlp.fc1.weight": "a model of the family sd35_large",
    "lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight": "a LoRA, not a model",
    "unet.down_blocks.0.attentions.0.proj_in.lora_A.weight": "a LoRA, not a model",
    "control_model.time_embed.0.weight": "a ControlNet, not a model",
    "emb_params": "a textual inversion embedding",
    "down_blocks.0.resnets.0.conv1.weight": "give the folder",
    "encoder.down.0.block.0.conv1.weight": "an autoencoder alone",
    "input_blocks.0.0.weight": "a U-Net alone",
    "model.diffusion_model.input_blocks.0.0.weight": "a U-Net without a text encoder",
    "what.is.this": "no Stable Diffusion in the original layout: it has no U-Net, but what.is.this",
}


def test_other_kinds_of_file_are_named(tmp_path):
    other = tmp_path / "other.safetensors"
    for name, said in OTHERS.items():
        save_file({name: torch.ones(4, 4)}, other)
        assert said in fault(other), name
    for content, said in {b"GGUF....": "is a GGUF file", b"version https://git-lfs.github.com": "a Git LFS pointer",
                          b"<!DOCTYPE html>": "a web page", b"PK\3\4 not whole": "a damaged .ckpt",
                          b"": "no whole .safetensors"}.items():
        other.write_bytes(content)
        assert said in fault(other), content


def test_damaged_files_are_refused(file, tmp_path):
    whole, spoiled = file("sd1").read_bytes(), tmp_path / "spoiled.safetensors"
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])

    def with_header(entries: dict) -> bytes:
        text = json.dumps(entries).encode()
        return struct.pack("<Q", len(text)) + text + whole[8 + length :]

    name = "first_stage_model.decoder.conv_in.weight"
    begin, end = header[name]["data_offsets"]
    for content in (whole[: len(whole) // 2], whole[:20], struct.pack("<Q", 1 << 60) + whole[8:],
                    with_header(header | {name: header[name] | {"data_offsets": [begin, end + (1 << 40)]}}),
                    with_header(header | {name: header[name] | {"data_offsets": [0, end - begin]}}),
                    with_header(header | {name: header[name] | {"shape": [1, 2, 3]}})):
        spoiled.write_bytes(content)
        assert "is no whole .safetensors file" in fault(spoiled)
    torch.save({"state_dict": load_file(file("sd1"))}, tmp_path / "spoiled.ckpt")
    whole = (tmp_path / "spoiled.ckpt").read_bytes()
    (tmp_path / "spoiled.ckpt").write_bytes(whole[: len(whole) // 2])
    assert "ckpt" in fault(tmp_path / "spoiled.ckpt")


def test_missing_and_contradicting_tensors_are_listed(file, tmp_path):
    spoiled, tensors = tmp_path / "spoiled.safetensors", load_file(file("sd1"))

    def without(*starts: str) -> Path:
        save_file({name: value for name, value in tensors.items() if not name.startswith(starts)}, spoiled)
        return spoiled

    said = fault(without("model.diffusion_model.output_blocks.0.0.in", "model.diffusion_model.output_blocks.0.0.out"))
    assert "8 tensors are missing: up_blocks.0.resnets.0.conv1.bias" in said
    said = fault(without("cond_stage_model.transformer.text_model.encoder.layers.1.self_attn", "first_stage_model.decoder",
                         "cond_stage_model.transformer.text_model.encoder.layers.1.mlp"))
    assert "decoder.conv_in.weight" in said
    said = fault(without("cond_stage_model.transformer.text_model.encoder.layers.1.self_attn",
                         "cond_stage_model.transformer.text_model.encoder.layers.1.mlp"))
    assert "12 tensors are missing: encoder.layers.1.mlp.fc1.bias" in said and "and 2 more" in said
    assert "the tensors of output_blocks.0.* are missing" in fault(without("model.diffusion_model.output_blocks.0."))
    assert "4 tensors are missing: time_embedding.linear_1.bias" in fault(without("model.diffusion_model.time_embed"))
    name = "model.diffusion_model.middle_block.0.in_layers.2.weight"
    save_file(tensors | {name: torch.zeros(64, 32, 3, 3)}, spoiled)
    assert "mid_block.resnets.0.conv1.weight has [64, 32, 3, 3] instead of [64, 64, 3, 3]" in fault(spoiled)
    save_file(tensors | {"model.diffusion_model.time_embed.cond_proj.weight": torch.zeros(2, 2)}, spoiled)
    assert "tensors that are not known: model.diffusion_model.time_embed.cond_proj.weight" in fault(spoiled)
    assert "holds no autoencoder; --vae takes one" in fault(without("first_stage"))
    save_file(tensors, spoiled)
    assert "--family sdxl: the file's tensors are those of sd1" in fault(spoiled, "--family", "sdxl")


def test_a_full_disk_leaves_nothing(file, tmp_path):
    """A limit on the size of files stands for the disk's: the text encoder fits, the U-Net does not."""
    source = tmp_path / "source.safetensors"
    source.write_bytes(file("sd1").read_bytes())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        assert "File too large" in fault(source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
