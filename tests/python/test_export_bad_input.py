"""What scripts/export refuses besides what test_export.py, test_export_single_file.py and test_export_lora.py spoil: in one
line, with nothing left behind."""

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from exporting import ROOT, edit, fault  # first: it sets the path
from exporter import __main__ as exporter
from exporter import checks, output, single_file, trace
from miniatures import miniature
from original_layout import in_original_layout
from safetensors.torch import load_file, save_file

UNET_FILE = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True)
def handlers():
    """Those of a program at a terminal. The exporter's main() sets others for the process."""
    before = {kind: signal.signal(kind, signal.SIG_DFL) for kind in output.STOPS}
    yield
    for kind, handler in before.items():
        signal.signal(kind, handler)


@pytest.fixture
def writing(monkeypatch):
    """What is done as soon as the export has begun to write."""

    def do(action):
        def write(network, module, factor, precision, file):
            file.write_bytes(b"half of it")
            action()

        monkeypatch.setattr(exporter, "save_traced", write)

    return do


class Touch:
    """Pickled, a call that makes a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_folders_that_are_no_pipelines(folder):
    assert "it holds one network, UNet2DConditionModel, and no model_index.json" in fault(folder / "unet")
    (folder / "model_index.json").unlink()
    save_file({"x": torch.ones(1)}, folder / "model.safetensors")
    assert f"to export a file, name it: {folder}/model.safetensors" in fault(folder)
    assert "No such file" in fault(folder / "nowhere.safetensors")


def test_pipelines_of_other_families(folder):
    edit(folder / "model_index.json", _class_name="FluxPipeline", transformer=["diffusers", "FluxTransformer2DModel"])
    assert "transformer: diffusers.FluxTransformer2DModel is not known" in fault(folder)
    edit(folder / "model_index.json", _class_name="StableDiffusion3Pipeline", transformer=[None, None])
    assert "StableDiffusion3Pipeline has no unet" in fault(folder)
    edit(folder / "model_index.json", _class_name="StableDiffusionPipeline", scheduler=["diffusers", "EDMEulerScheduler"])
    assert "EDMEulerScheduler has other noise levels" in fault(folder)
    edit(folder / "model_index.json", scheduler=["diffusers", "PNDMScheduler"])
    edit(folder / "vae/config.json", latent_channels=16)
    assert "the U-Net takes 4 channels; known are 16" in fault(folder)


def test_folders_without_parts(folder):
    for part, said in (("scheduler", "scheduler is missing"), ("tokenizer", "tokenizer is missing"),
                       ("text_encoder", "text_encoder/config.json is missing"), (UNET_FILE, "unet holds no weights")):
        (folder / part).rename(folder / "hidden")
        assert said in fault(folder), part
        (folder / "hidden").rename(folder / part)
    index = folder / "unet/diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "diffusion_pytorch_model-00002-of-00002.safetensors"}}))
    assert "unet/diffusion_pytorch_model-00002-of-00002.safetensors is missing, which diffusion" in fault(folder)
    index.unlink()
    edit(folder / "unet/config.json", block_out_channels="wide")
    assert "unet: its configuration makes no UNet2DConditionModel" in fault(folder)
    edit(folder / "unet/config.json", block_out_channels=[32, 64], sample_size=None)
    assert "sample_size: None is no size" in fault(folder)
    edit(folder / "model_index.json", tokenizer=[None, None])
    assert "the pipeline has no tokenizer" in fault(folder)
    edit(folder / "model_index.json", feature_extractor="x")  # which nobody thought of
    assert "cannot be exported: AttributeError in pipeline_" in fault(folder)


def test_damaged_folders(folder, tmp_path):
    weights = folder / UNET_FILE
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    assert f"{UNET_FILE} is no whole .safetensors file" in fault(folder)
    torch.save(load_file(folder / "vae/diffusion_pytorch_model.safetensors"), weights)
    assert f"{UNET_FILE} is a .bin or .ckpt file by another name" in fault(folder)
    torch.save({"conv_in.bias": Touch(tmp_path / "mark")}, weights.with_suffix(".bin"))
    weights.unlink()
    assert "would call posix.system; nothing of it was run" in fault(folder)
    weights.write_bytes(whole)  # then the other one is not read, nor what lies there for other programs
    (folder / "unet/openvino_model.bin").write_bytes(b"?")
    exporter.read(exporter.parse([str(folder), "-o", "unused"]))
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_weights_that_are_no_numbers(value, folder):
    tensors = load_file(folder / UNET_FILE)
    tensors["conv_out.bias"][1] = value
    save_file(tensors, folder / UNET_FILE, {"format": "pt"})
    said = fault(folder)
    assert "unet: 1 tensors hold NaN or infinity at fp16; --precision fp32 or bf16 reaches further: conv_out.bias" in said


def test_numbers_that_are_no_weights(tmp_path):
    file, tensors = tmp_path / "x.safetensors", in_original_layout(miniature("sd1"))
    name = "model.diffusion_model.out.2.bias"
    save_file(tensors | {name: tensors[name].to(torch.int8)}, file)
    assert "UNet2DConditionModel: 1 tensors hold no floating-point numbers: conv_out.bias" in fault(file)


def test_a_tensor_missing_for_its_conversion(tmp_path):
    tensors = in_original_layout(miniature("sdxl"))
    del tensors["model.diffusion_model.label_emb.0.2.bias"]
    save_file(tensors, tmp_path / "x.safetensors")
    source, _ = single_file.read_single_file(tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="UNet2DConditionModel: 'label_emb.0.2.bias' is missing"):
        source.load("unet", torch.float32)


@pytest.mark.parametrize("words", [
    "--sampler nonsense", "--schedule nonsense", "--steps -5", "--steps 1000001", "--width 0", "--height 16385", "--width 32.5",
    "--cfg-scale nan", "--cfg-scale=-inf"])
def test_defaults_that_darkroom_would_refuse(words, capsys):
    with pytest.raises(SystemExit) as stop:
        exporter.main(["source", "-o", "out", *words.split()])
    assert stop.value.code == 2
    assert f"argument {words.replace('=', ' ').split()[0]}: " in capsys.readouterr().err.splitlines()[-1]


def test_sizes_that_the_model_cannot_have(folder, writing):
    writing(lambda: pytest.fail("it has begun to write"))
    assert "--width 33: no multiple of 2, as this model needs" in fault(folder, "--width", "33")
    assert "--height 1: no multiple of 2, as this model needs" in fault(folder, "--height", "1")


def test_a_configuration_that_json_has_no_words_for(folder, writing):
    writing(lambda: pytest.fail("it has begun to write"))
    edit(folder / "vae/config.json", scaling_factor=float("nan"))
    assert "Out of range float values are not JSON compliant" in fault(folder)


def test_a_disk_that_is_too_small(folder, monkeypatch):
    usage = shutil.disk_usage(folder)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000_000))
        assert "where 0.0 GB are free" in fault(folder)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trace.os, "posix_fallocate", full)  # for another program wrote meanwhile
    assert "No space left on device" in fault(folder)


@pytest.mark.parametrize("kind", output.STOPS)
def test_signals_leave_nothing(kind, folder, writing):
    writing(lambda: os.kill(os.getpid(), kind))
    assert "interrupted" in fault(folder, code=130)


def test_a_signal_while_a_network_runs(folder, monkeypatch):
    plain = checks.RoundedProducts.__torch_dispatch__

    def interrupted(*words, **more):
        os.kill(os.getpid(), signal.SIGINT)
        return plain(*words, **more)

    monkeypatch.setattr(checks.RoundedProducts, "__torch_dispatch__", interrupted)
    assert "interrupted" in fault(folder, code=130)


def test_ignored_signals_stay_ignored(folder, writing):
    """As under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def hang_up():
        os.kill(os.getpid(), signal.SIGHUP)
        raise RuntimeError("and goes on")

    writing(hang_up)
    assert "and goes on" in fault(folder)


def test_an_export_that_was_killed_is_no_model_and_cleared_away(tmp_path):
    program = "\n".join([
        "import os, pathlib, signal, sys", "from exporter.output import whole_folder",
        "with whole_folder(pathlib.Path(sys.argv[1])) as folder:", "    (folder / 'unet.pt').write_bytes(b'half')",
        "    os.kill(os.getpid(), signal.SIGKILL)"])
    place = tmp_path / "my[1]"
    run = subprocess.run([sys.executable, "-c", program, str(place)], env=os.environ | {"PYTHONPATH": str(ROOT / "scripts")})
    assert run.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".my[1].export-")
    (tmp_path / ".my[1].export-running").mkdir()
    running = os.open(tmp_path / ".my[1].export-running", os.O_RDONLY)
    fcntl.flock(running, fcntl.LOCK_EX)
    with output.whole_folder(place) as folder:
        (folder / "unet.pt").write_bytes(b"whole")
    os.close(running)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".my[1].export-running", "my[1]"]
    assert (place / "unet.pt").read_bytes() == b"whole"


def test_a_second_signal_does_not_stop_the_clearing(tmp_path, monkeypatch):
    real = shutil.rmtree

    def impatient(*words, **more):
        os.kill(os.getpid(), signal.SIGINT)
        real(*words, **more)

    monkeypatch.setattr(output.shutil, "rmtree", impatient)
    with pytest.raises(RuntimeError), output.whole_folder(tmp_path / "x"):
        raise RuntimeError
    assert not list(tmp_path.iterdir())
