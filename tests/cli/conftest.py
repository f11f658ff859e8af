"""Runs the real binary. DARKROOM_BINARY says which; the default is build/darkroom."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("DARKROOM_BINARY", ROOT / "build" / "darkroom")).resolve()
MODELS = ROOT / "tests" / "models"
# A picture of the tiny model in milliseconds.
SMALL = ["-m", "tiny", "-t", "1", "--steps", "2", "-W", "16", "-H", "16"]


def heed_signals():
    """Tests started under nohup or in a shell's background would hand their ignored signals on to the program."""
    for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_DFL)


class Result:
    def __init__(self, process):
        self.code = process.returncode
        self.out = process.stdout.decode()
        self.err = process.stderr.decode()

    @property
    def objects(self):
        return [json.loads(line) for line in self.out.splitlines()]


class Darkroom:
    """The program in an empty folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {**os.environ, "DARKROOM_MODELS": str(MODELS), "TERM": "xterm"}

    def run(self, *words, **options):
        """The program with these words alone."""
        options = {"cwd": self.folder, "env": self.environment, "timeout": 60, **options}
        if "stdout" not in options:
            options["stdout"] = subprocess.PIPE
        return Result(subprocess.run([BINARY, *map(str, words)], stderr=subprocess.PIPE, **options))

    def make(self, *words, **options):
        """The same, with a model and settings that take milliseconds; `words` come last and win."""
        return self.run(*SMALL, *words, **options)

    def start(self, *words, under=(), **options):
        """Starts it without waiting, as an argument of the command `under`."""
        return subprocess.Popen([*under, BINARY, *SMALL, *map(str, words)], cwd=self.folder, env=self.environment,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed_signals, **options)

    def write(self, name, content):
        file = self.folder / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    def copy_model(self, name="tiny"):
        """A model to be damaged. Returns its folder."""
        return Path(shutil.copytree(MODELS / name, self.folder / "model"))

    def files(self):
        """Every file below the folder that is no input: hidden ones and those of other names too."""
        return sorted(str(file.relative_to(self.folder)) for file in self.folder.rglob("*.png*"))


@pytest.fixture
def darkroom(tmp_path):
    return Darkroom(tmp_path)


@pytest.fixture
def other_model(darkroom):
    """The tiny model with the denoiser of another: a weaker model, or a refiner that can be seen."""
    folder = darkroom.copy_model()
    shutil.copy(MODELS / "tiny-v/unet.pt", folder / "unet.pt")
    manifest = json.loads((folder / "model.json").read_text())
    theirs = json.loads((MODELS / "tiny-v/model.json").read_text())
    manifest["networks"]["unet"]["sha256"] = theirs["networks"]["unet"]["sha256"]
    (folder / "model.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def as_nobody(darkroom):
    """Options of Darkroom.run that take away root's permission to do anything."""
    if os.getuid() != 0:
        return {}
    options = {"user": "nobody", "group": "nogroup"}
    for folder in (darkroom.folder, *darkroom.folder.parents):
        if folder.stat().st_uid == os.getuid() and str(folder).startswith(tempfile.gettempdir() + "/"):
            folder.chmod(0o755)
    try:
        usable = darkroom.run("--version", **options).code == 0
    except PermissionError:
        usable = False
    if not usable:
        pytest.skip("the program cannot be read by the user nobody")
    return options


@pytest.fixture
def small_tmpfs(tmp_path):
    """A file system with room for a few pictures."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "none", folder]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a file system takes root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def pixels(file):
    """The picture's bytes, all decoded: fails for a file that is not whole."""
    with Image.open(file) as image:
        image.load()
        return image.tobytes()


def stop(process, how=signal.SIGKILL):
    process.send_signal(how)
    return process.communicate(timeout=60)
