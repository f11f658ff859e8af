"""The contact sheet: one picture, sampler by sampler and step count by step count."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE, GAP, LABEL, HEAD = 64, 2, 118, 18


def contact_sheet(blocks: dict[str, dict[str, dict[int, np.ndarray]]], path: Path) -> None:
    """Blocks {title: rows} side by side, a row {label: {steps: picture}}."""
    steps = sorted({count for block in blocks.values() for row in block.values() for count in row})
    width, height = LABEL + len(steps) * (SIDE + GAP), HEAD + max(map(len, blocks.values())) * (SIDE + GAP)
    sheet = Image.new("RGB", (width * len(blocks), height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for at, (title, block) in enumerate(blocks.items()):
        left = at * width + LABEL
        draw.text((left - 6, HEAD / 2), title, "black", font, "rm")
        for column, count in enumerate(steps):
            draw.text((left + column * (SIDE + GAP) + SIDE / 2, HEAD / 2), str(count), "black", font, "mm")
        for line, (label, pictures) in enumerate(block.items()):
            top = HEAD + line * (SIDE + GAP)
            draw.text((left - 6, top + SIDE / 2), label, "black", font, "rm", align="right")
            for column, count in enumerate(steps):
                if count in pictures:
                    small = Image.fromarray(pictures[count]).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
                    sheet.paste(small, (left + column * (SIDE + GAP), top))
    sheet.quantize(256, kmeans=3, dither=Image.Dither.NONE).save(path, optimize=True)
