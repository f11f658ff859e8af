"""Runs a program and says what it used. As a program itself: python -m exporter.measured FILE COMMAND..."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Used:
    seconds: float
    peak: int  # bytes of resident memory

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, peak {self.peak / 2**30:.2f} GiB"


def run(command: list) -> tuple[Used, str]:
    """And its standard output. Throws subprocess.CalledProcessError where it fails."""
    # Linux counts what the process that starts another holds as the other's, so a small one starts it.
    with tempfile.NamedTemporaryFile() as said:
        small = [sys.executable, "-m", "exporter.measured", said.name]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        done = subprocess.run([*small, *map(str, command)], check=True, stdout=subprocess.PIPE, text=True, env=environment)
        return Used(**json.loads(said.read())), done.stdout


def main() -> int:
    began = time.monotonic()
    status = subprocess.run(sys.argv[2:]).returncode
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    Path(sys.argv[1]).write_text(json.dumps({"seconds": time.monotonic() - began, "peak": peak}))
    return status


if __name__ == "__main__":
    sys.exit(main())
