"""The folder an export makes: there whole or not at all."""

import fcntl
import glob
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def whole_folder(output: Path) -> Iterator[Path]:
    """A temporary folder beside `output`, which gets its name where the block ends well and is removed otherwise."""
    output.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(output)
    folder = Path(tempfile.mkdtemp(prefix=prefix(output), dir=output.parent))
    lock = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system has locks; without one, nothing is taken for a leftover
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
        folder.chmod(0o755)
        folder.rename(output)
    finally:
        with deaf():
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_leftovers(output: Path) -> None:
    """Of exports to the same place that were killed: nobody holds their locks."""
    for folder in output.parent.glob(f"{glob.escape(prefix(output))}*"):
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(lock)


def prefix(output: Path) -> str:
    return f".{output.name}.export-"


class Stopping:
    """Lets every signal that asks for an end raise KeyboardInterrupt, unless it is ignored, as by nohup."""

    def __init__(self):
        self.asked = False  # where Python was called from TorchScript, a RuntimeError is what comes of it
        for kind in STOPS:
            if signal.getsignal(kind) != signal.SIG_IGN:
                signal.signal(kind, self.stop)

    def stop(self, *_) -> None:
        self.asked = True
        raise KeyboardInterrupt


@contextmanager
def deaf() -> Iterator[None]:
    """A second Ctrl-C would stop the removal that the first one began."""
    before = {kind: signal.signal(kind, signal.SIG_IGN) for kind in STOPS}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
