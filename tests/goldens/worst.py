#!/usr/bin/env python3
"""Writes the table of tests/goldens/README.md from what the golden tests print: test_diffusion | tests/goldens/worst.py"""

import re
import sys
from pathlib import Path

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- worst.py -->\n", "<!-- end -->\n"
LINE = re.compile(r"(?:(diffusers|k|paper) +)?(\S+?)/(\S+) +worst step (\S+)$")


def table(lines) -> str:
    """A row for each sampler and convention: of all its recorded walks the one with the largest error of a step."""
    found: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for line in lines:
        if match := LINE.match(line):
            reference, sampler, walk, error = match.groups()
            found.setdefault((sampler, reference or "diffusers"), []).append((float(error), walk))
    rows = ["| sampler | numbers of | walks | worst error of a step | in |", "|---|---|---|---|---|"]
    for (sampler, reference), walks in sorted(found.items()):
        error, walk = max(walks)
        rows.append(f"| {sampler} | {reference} | {len(walks)} | {error:.1e} | {walk} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    README.write_text(before + BEGIN + table(sys.stdin) + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
