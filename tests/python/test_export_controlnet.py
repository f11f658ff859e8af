"""scripts/export --controlnet-ready: U-Nets that take a ControlNet's residuals, and are as ever without."""

import numpy
import pytest
import torch
from accelerate import init_empty_weights
from diffusers import ControlNetModel
from exporting import Model, export  # first: it sets the path
from exporter import adapters, checks, parity, residuals
from miniatures import miniature
from test_parity import task

FAMILIES = ["sd1", "sdxl"]
XL = {"block_out_channels": (320, 640, 1280), "transformer_layers_per_block": (1, 2, 10), "cross_attention_dim": 2048,
      "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")}


@pytest.fixture(scope="module")
def ready(gentle, tmp_path_factory):
    """Family -> the plain model's folder and that of one that is ready."""
    made = {}

    def make(family: str):
        if family not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(checks, "PICTURES", [])
                patch.setattr(checks, "HALVES", {"bf16": torch.bfloat16})
                source, plain = gentle(family)
                output = tmp_path_factory.mktemp("ready") / family
                made[family] = plain, export(source, output, "--precision", "fp32", "--controlnet-ready")
        return made[family]

    return make


def residual_roles(model: Model) -> list[str]:
    return [role for role in model.json["networks"]["unet"]["inputs"] if role.startswith("residual_")]


def inputs_of(model: Model, rows: int, columns: int) -> dict:
    torch.manual_seed(1)
    shapes = {"sample": [2, 4, rows, columns], "timestep": [2], "context": [2, 77, 64], "pooled": [2, 128], "time_ids": [2, 6]}
    if len(model.json["conditioning"]) > 1:
        shapes["context"] = [2, 77, 192]
    given = {role: torch.randn(shapes[role]) for role in model.json["networks"]["unet"]["inputs"] if role in shapes}
    return given | {"timestep": torch.tensor([999.0, 20.0])}


@pytest.mark.parametrize("settings, count", [({}, 12), (XL, 9)])
def test_there_are_as_many_as_a_controlnet_gives(settings, count):
    with init_empty_weights():  # without settings it is that of Stable Diffusion 1
        controlnet = ControlNetModel(**settings)
    channels = [block.in_channels for block in controlnet.controlnet_down_blocks]
    assert [channels for channels, _ in residuals.skip_connections(controlnet.config)] == channels
    assert len(channels) == count and residuals.residual_roles(controlnet.config)[count:] == ["residual_mid"]


@pytest.mark.parametrize("family", FAMILIES)
def test_zeros_change_nothing(family, ready):
    plain, model = (Model(folder) for folder in ready(family))
    for rows, columns in ((8, 8), (9, 13)):
        given = inputs_of(plain, rows, columns)
        wanted = plain.run("unet", **given)["prediction"]
        zeros = {role: torch.zeros(1, 1, 1, 1) for role in residual_roles(model)}
        assert torch.equal(model.run("unet", **given, **zeros)["prediction"], wanted)
        assert wanted.std() > 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_residuals_of_a_controlnet(family, ready):
    pipeline, model = miniature(family), Model(ready(family)[1])
    torch.manual_seed(0)
    controlnet = ControlNetModel.from_unet(pipeline.unet).eval()
    for weight in [*controlnet.controlnet_down_blocks.parameters(), *controlnet.controlnet_mid_block.parameters()]:
        torch.nn.init.normal_(weight, std=0.1)  # it begins with zeros
    roles = residual_roles(model)
    assert roles == [*(f"residual_{index}" for index in range(len(controlnet.controlnet_down_blocks))), "residual_mid"]
    for rows, columns in ((8, 8), (9, 13)):
        given = inputs_of(model, rows, columns)
        added = {"text_embeds": given.get("pooled"), "time_ids": given.get("time_ids")}
        told = (given["sample"], given["timestep"], given["context"])
        picture = torch.rand(2, 3, 8 * rows, 8 * columns)
        with torch.no_grad():
            down, middle = controlnet(*told, picture, added_cond_kwargs=added, return_dict=False)
            wanted = pipeline.unet(*told, added_cond_kwargs=added, down_block_additional_residuals=down,
                                   mid_block_additional_residual=middle).sample
        added = dict(zip(roles, [*down, middle], strict=True))
        got = model.run("unet", **given, **added)["prediction"]
        assert checks.largest_difference(got, wanted) <= 1e-5
        for role in roles:  # each is heard
            other = model.run("unet", **given, **added | {role: torch.zeros(1, 1, 1, 1)})["prediction"]
            assert checks.largest_difference(got, other) > 1e-4, role


@pytest.mark.parametrize("family", FAMILIES)
def test_darkroom_makes_the_same_pictures(family, ready, tmp_path):
    records = []
    for name, model in zip(("plain", "ready"), ready(family), strict=True):
        (tmp_path / name).mkdir()
        asked = task(negative="blurry", steps=2, width=24, height=32)
        records.append(parity.with_darkroom(model, asked, "ddim", "leading", tmp_path / name)[0])
    assert numpy.array_equal(records[0].latents, records[1].latents)
    assert numpy.array_equal(records[0].pictures, records[1].pictures)


def test_the_exporter_checks_both(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "PICTURES", [])
    real = adapters.residual_arguments

    def moved(given):
        arguments = real(given)
        return arguments and arguments | {"mid_block_additional_residual": arguments["mid_block_additional_residual"] + 0.01}

    def exchanged(given):
        arguments = real(given)
        if arguments:
            first, second, *others = arguments["down_block_additional_residuals"]
            arguments["down_block_additional_residuals"] = (second, first, *others)
        return arguments

    for wrong in (moved, exchanged):
        monkeypatch.setattr(adapters, "residual_arguments", wrong)
        with pytest.raises(ValueError, match="unet.pt at fp32: prediction, .*: differs by"):
            export(folders("sd1"), tmp_path / "out", "--controlnet-ready")
