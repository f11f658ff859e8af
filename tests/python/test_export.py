"""Exports of miniatures of every family, used as model.json says, against what diffusers' pipelines do."""

import json
import pytest
import torch
from exporting import Model, edit, export, fault  # first: it sets the path
from exporter import adapters, checks  # isort: skip
from exporter.networks import networks_of
from miniatures import miniature
from transformers import CLIPTextModel

WIDTH, HEIGHT = 24, 40  # of pictures; 2 pixels a latent
PROMPT = "a slice of pizza, on a teal background!"
EXPORTED = ["sd1", "sd1_inpaint", "sd1_taesd", "lcm", "sd2_v", "sdxl", "pruned_sdxl", "refiner", "lcm_sdxl"]


class Stop(Exception):
    pass


def first_call(pipeline, **settings) -> tuple:
    """What the pipeline gives its U-Net first: arguments and keywords."""
    seen = []

    def hook(module, args, kwargs):
        seen.append((args, kwargs))
        raise Stop

    handle = pipeline.unet.register_forward_pre_hook(hook, with_kwargs=True)
    pipeline.set_progress_bar_config(disable=True)
    with pytest.raises(Stop):
        pipeline(prompt=PROMPT, num_inference_steps=2, generator=torch.Generator().manual_seed(1), **settings)
    handle.remove()
    return seen[0]


def picture_settings(family: str) -> dict:
    settings = {"guidance_scale": 6.0, "clip_skip": 1}
    if family == "refiner":
        return settings | {"image": torch.rand(1, 3, HEIGHT, WIDTH), "strength": 1.0}
    if family == "sd1_inpaint":
        settings |= {"image": torch.rand(1, 3, HEIGHT, WIDTH), "mask_image": torch.ones(1, 1, HEIGHT, WIDTH)}
    return settings | {"width": WIDTH, "height": HEIGHT}


def close(actual: torch.Tensor, expected: torch.Tensor) -> bool:
    return actual.shape == expected.shape and checks.largest_difference(actual, expected) <= 1e-5


@pytest.mark.parametrize("family", EXPORTED)
def test_the_denoiser_is_told_what_the_pipeline_tells_it(family, models, monkeypatch):
    # diffusers 0.42 looks for the final norm of a clip_skip where transformers had it before 5.6.
    monkeypatch.setattr(CLIPTextModel, "text_model", property(lambda text: text), raising=False)
    pipeline, model = miniature(family), Model(models(family))
    args, kwargs = first_call(pipeline, **picture_settings(family))
    sample, timestep = args[0], args[1].reshape(1).float()
    guided = pipeline.do_classifier_free_guidance
    assert guided == (not family.startswith("lcm")) and len(sample) == 1 + guided

    numbers = {"original_height": HEIGHT, "original_width": WIDTH, "crop_top": 0, "crop_left": 0, "target_height": HEIGHT,
               "target_width": WIDTH, "guidance_weight": 6.0 - 1, **model.json["defaults"]}
    tokenizers = {"clip": pipeline.tokenizer, "clip_2": getattr(pipeline, "tokenizer_2", None)}
    rows = [model.condition(PROMPT, tokenizers, numbers, skip=1)]
    if guided:
        numbers["aesthetic_score"] = numbers.get("negative_aesthetic_score")
        rows.insert(0, model.condition(None, tokenizers, numbers))
    told = {role: torch.cat([row[role] for row in rows]) for role in rows[0]}

    with torch.no_grad():
        wanted = pipeline.unet(*args, **kwargs | {"return_dict": False})[0]
    assert close(told["context"], kwargs["encoder_hidden_states"])
    added = kwargs.get("added_cond_kwargs") or {}
    for role, name in (("pooled", "text_embeds"), ("time_ids", "time_ids")):
        assert (role in told) == (name in added)
        assert role not in told or close(told[role], added[name])
    assert ("guidance" in told) == (kwargs.get("timestep_cond") is not None)
    channels = int(model.json["stages"][0]["state"][0])
    pictures = {"sample": sample[:, :channels]}
    if family == "sd1_inpaint":
        pictures |= {"mask": sample[:, channels : channels + 1], "masked_latents": sample[:, channels + 1 :]}
    got = model.run("unet", **pictures, timestep=timestep.expand(len(sample)), **told)["prediction"]
    assert close(got, wanted)
    assert 0.3 < wanted.std() < 3

    for role in told:  # each is heard
        changed = told | {role: told[role] * 0.5 + 0.1}
        other = model.run("unet", **pictures, timestep=timestep.expand(len(sample)), **changed)["prediction"]
        assert checks.largest_difference(other, wanted) > 100 * 1e-5, role


@pytest.mark.parametrize("family", EXPORTED)
def test_the_decoder_makes_the_pipelines_picture(family, models):
    pipeline, model = miniature(family), Model(models(family))
    latents = torch.randn(2, 4, 9, 5)
    with torch.no_grad():
        wanted = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    output = model.json["output"]
    got = model.run(output["decoder"], latents=latents / output["scale"] + output["shift"])["image"]
    assert close(got, wanted)
    assert got.shape[-2:] == (9 * output["factor"], 5 * output["factor"])


@pytest.mark.parametrize("family", EXPORTED)
def test_parameters_have_the_names_of_the_state_dict(family, models):
    pipeline, model = miniature(family), Model(models(family))
    components = {"text": "text_encoder", "text_2": "text_encoder_2", "unet": "unet", "decoder": "vae"}
    for name, network in model.networks.items():
        state = getattr(pipeline, components[name]).state_dict()
        exported = dict(network.named_parameters())
        if name == "decoder":
            state = {key: value for key, value in state.items() if key.startswith(("decoder.", "post_quant_conv."))}
        assert exported.keys() == state.keys()
        assert all(torch.equal(exported[key], state[key]) for key in state)
        assert model.json["networks"][name]["parameters"] == sum(value.numel() for value in state.values())


def test_what_model_json_says(models):
    xl, refiner, lcm, v = (Model(models(family)).json for family in ("sdxl", "refiner", "lcm", "sd2_v"))
    assert [entry["empty"] for entry in xl["conditioning"][:2]] == ["zeros", "zeros"]
    assert refiner["conditioning"][0]["empty"] == "encode"
    assert refiner["conditioning"][0]["from"] == ["text_2.hidden"] and "join" not in refiner["conditioning"][0]
    assert xl["tokenizers"]["clip"]["file"] == xl["tokenizers"]["clip_2"]["file"]
    assert [xl["tokenizers"][name]["pad"] for name in ("clip", "clip_2")] == ["end", "zero"]
    assert xl["defaults"] == {"width": 32, "height": 32, "steps": 50, "cfg_scale": 5.0, "sampler": "euler",
                              "schedule": "leading"}
    assert refiner["defaults"]["aesthetic_score"] == 6.0 and refiner["defaults"]["negative_aesthetic_score"] == 2.5
    assert lcm["defaults"]["steps"] == 4 and lcm["defaults"]["sampler"] == "lcm"
    assert v["stages"][0]["prediction"] == "v" and v["defaults"]["sampler"] == "ddim"


def test_precisions(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "PICTURES", [])
    export(folders("sdxl"), tmp_path / "xl")
    networks = Model(tmp_path / "xl").json["networks"]
    assert networks["unet"]["stored_precision"] == "fp16" and "precisions" not in networks["unet"]
    assert networks["decoder"]["stored_precision"] == "fp32" and networks["decoder"]["precisions"] == ["fp32", "bf16"]
    weights = torch.jit.load(str(tmp_path / "xl" / "unet.pt")).state_dict()
    wanted = miniature("sdxl").unet.state_dict()
    assert all(torch.equal(weights[name], wanted[name].half()) for name in wanted)


def test_a_decoder_that_overflows_at_fp16_is_not_run_there(folder, tmp_path):
    """And the licence goes along."""
    (folder / "README.md").write_text("---\ntags:\n- art\nlicense: openrail++\n---\n# A model\n")
    (folder / "LICENSE.md").write_text("do no harm")
    pipeline = miniature("sd1")
    with torch.no_grad():
        pipeline.vae.decoder.conv_in.weight.mul_(1e5)  # which the next normalisation takes back
        pipeline.vae.decoder.conv_in.bias.mul_(1e5)
    pipeline.vae.save_pretrained(folder / "vae")
    export(folder, tmp_path / "out")
    model = Model(tmp_path / "out").json
    assert model["networks"]["decoder"]["precisions"] == ["fp32", "bf16"]
    assert model["license"] == "openrail++" and (tmp_path / "out/LICENSE.md").read_text() == "do no harm"


@pytest.mark.parametrize("number", range(checks.SMALL_CASES))
def test_an_overflow_in_any_case_leaves_fp16_out(number, models, monkeypatch):
    torch.manual_seed(0)
    pipeline, real, called = miniature("sd1"), checks.call, []
    network = networks_of(pipeline)[-1]
    check = checks.Check(network, pipeline.vae, 2)

    def call(network, exported, inputs):
        outputs = real(network, exported, inputs)
        if next(exported.parameters()).dtype == torch.float16:
            called.append(next(index for index, known in enumerate(check.inputs) if known is inputs))
            if called[-1] == number:
                outputs = (outputs[0] * torch.inf,)
        return outputs

    monkeypatch.setattr(checks, "call", call)
    assert check.run(models("sd1") / "decoder.pt") == ["fp32", "bf16"]
    assert len(called) == len(set(called))  # a CPU is slow there


def test_a_tokenizer_that_says_no_length_has_the_text_encoders(folder, quick, tmp_path):
    file = folder / "tokenizer/tokenizer_config.json"
    said = json.loads(file.read_text())
    del said["model_max_length"]
    file.write_text(json.dumps(said))
    assert Model(export(folder, tmp_path / "out")).json["tokenizers"]["clip"]["length"] == 77


def test_a_folder_of_licences_is_no_licence(folder, quick, tmp_path):
    (folder / "LICENSES").mkdir()
    (folder / "LICENSE").write_text("do no harm")
    assert [file.name for file in export(folder, tmp_path / "out").glob("LICENSE*")] == ["LICENSE"]


OUTSIDE = torch.zeros(1)


@pytest.mark.parametrize("zero, kept", [(lambda: torch.zeros(1), "aten::zeros"), (lambda: OUTSIDE, "a tensor [1]")])
def test_a_network_that_stays_on_its_device_is_refused(zero, kept, folder, monkeypatch):
    plain = adapters.Decoder.forward
    monkeypatch.setattr(adapters.Decoder, "forward", lambda self, latents: plain(self, latents) + zero())
    assert f"decoder.pt: would run on one device only: {kept}" in fault(folder)


def test_bad_folders_are_refused(folder):
    (folder / "unet/config.json").rename(folder / "unet/hidden")
    assert "unet/config.json is missing" in fault(folder)
    (folder / "unet/hidden").rename(folder / "unet/config.json")
    edit(folder / "unet/config.json", class_embed_type="timestep")
    assert "class_embed_type: 'timestep' is not known" in fault(folder)
    edit(folder / "unet/config.json", class_embed_type=None, cross_attention_dim=32)
    assert "takes a context of 32 channels, but the text encoders give 64" in fault(folder)
    edit(folder / "unet/config.json", cross_attention_dim=64, in_channels=7)
    assert "takes 7 channels; known are 4" in fault(folder)
    edit(folder / "unet/config.json", in_channels=4, block_out_channels=[32, 96])
    assert "unet: shapes contradict its configuration" in fault(folder)
    edit(folder / "unet/config.json", block_out_channels=[32, 64], layers_per_block=2)
    said = fault(folder)
    assert "tensors are missing: down_blocks.0.attentions.1." in said and "more" in said


def test_bad_indices_are_refused(folder):
    index = folder / "model_index.json"
    whole = json.loads(index.read_text())
    edit(index, text_encoder=["transformers", "T5EncoderModel"])
    assert "text_encoder is a T5EncoderModel; known are CLIPTextModel" in fault(folder)
    edit(index, text_encoder=whole["text_encoder"], unet=["os", "system"])
    assert "unet is a system" in fault(folder)
    edit(index, unet=[None, None])
    assert "no unet" in fault(folder)
    edit(index, unet=whole["unet"], controlnet=["diffusers", "ControlNetModel"])
    assert "controlnet: diffusers.ControlNetModel is not known" in fault(folder)
    index.write_text("{")
    assert "is no valid JSON" in fault(folder)
    index.unlink()
    assert "is no diffusers pipeline: it holds no model_index.json" in fault(folder)


def test_damaged_weights_are_refused(folder):
    file = folder / "unet/diffusion_pytorch_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert fault(folder)
    file.write_bytes(whole[:8] + b"[" + whole[9:])
    assert fault(folder)
