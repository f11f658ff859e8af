"""Scenes: one or two Noto Color Emoji glyphs on a flat background, with the facts a caption needs."""

import csv
import functools
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
FONT_SIZE = 109  # the one bitmap size in the font
SIDE = 128

COLOURS = {
    "red": (214, 48, 49), "orange": (245, 136, 32), "yellow": (250, 212, 50), "green": (60, 166, 75),
    "teal": (0, 142, 142), "blue": (45, 98, 218), "purple": (128, 62, 172), "pink": (250, 152, 190),
    "brown": (130, 84, 50), "grey": (140, 142, 145), "black": (22, 22, 24), "white": (252, 252, 252),
}  # fmt: skip
COLOUR_NAMES = list(COLOURS)
COLOUR_JITTER = 6  # levels, each channel

# The longer side of a glyph in pixels.
SIZES = {"large": (104, 116), "medium": (80, 92), "small": (54, 64)}
SIZE_NAMES = list(SIZES)
SIZE_ODDS = (0.76, 0.12, 0.12)
PLACED_SIDE, TWO_SIDE = (44, 52), (52, 58)
PLACE_JITTER = 4  # pixels, each way

PLACE_NAMES = ["top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right"]
CENTER = PLACE_NAMES.index("center")
PLACE_SHIFT = 34  # pixels from the centre of the picture to that of a placed glyph
TWO_SHIFT = 31

LAYOUTS = {"centred": 0.58, "placed": 0.15, "two alike": 0.11, "two different": 0.16}
NOTHING = -1  # the other object of a scene with one


@dataclass(frozen=True)
class Object:
    index: int
    emoji: str
    name: str
    plural: str
    other_names: tuple[str, ...]
    adjectives: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """`other` is the object on the right of two, or NOTHING. Placed glyphs and two glyphs have their own size: small."""

    object: int
    colour: int
    size: int
    place: int = CENTER
    other: int = NOTHING

    @property
    def count(self) -> int:
        return 1 if self.other == NOTHING else 2

    @property
    def plain(self) -> bool:
        """One large object in the centre."""
        return self == Scene(self.object, self.colour, SIZE_NAMES.index("large"))

    def facts(self) -> tuple[int, ...]:
        return astuple(self)


def _words(cell: str) -> tuple[str, ...]:
    return tuple(part for part in cell.split(",") if part)


@functools.cache
def objects() -> tuple[Object, ...]:
    with (Path(__file__).parent / "objects.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return tuple(
            Object(i, row["emoji"], row["name"], row["plural"], _words(row["other_names"]), _words(row["adjectives"]))
            for i, row in enumerate(rows)
        )


def held_out(object_: int, colour: int) -> bool:
    """A tenth of the pairs is never trained on. White never is held out: it is what an unstated background means."""
    return COLOUR_NAMES[colour] != "white" and (object_ * 7 + colour * 3) % 10 == 0


@functools.cache
def _glyph(object_: int) -> Image.Image:
    """The glyph, cropped to its ink, with premultiplied alpha (so that resampling does not bleed)."""
    font = ImageFont.truetype(str(FONT), FONT_SIZE)
    canvas = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
    ImageDraw.Draw(canvas).text((12, 12), objects()[object_].emoji, font=font, embedded_color=True)
    box = canvas.getbbox()
    if box is None:
        raise ValueError(f"{FONT}: no colour glyph for {objects()[object_].emoji}")
    return canvas.crop(box).convert("RGBa")


@functools.cache
def _glyph_at(object_: int, longer_side: int) -> np.ndarray:
    glyph = _glyph(object_)
    scale = longer_side / max(glyph.size)
    width, height = (max(1, round(side * scale)) for side in glyph.size)
    return np.asarray(
        glyph.resize((width, height), Image.Resampling.BOX if scale < 0.5 else Image.Resampling.LANCZOS), np.float32
    )


def draw_scene(random: np.random.Generator, held: bool | None = False, layout: str | None = None) -> Scene:
    """A random scene; `held` False: trained pairs only, True: held-out pairs only, None: any. The layout is random too
    unless it is given."""
    small = SIZE_NAMES.index("small")
    while True:
        kind = layout or str(random.choice(list(LAYOUTS), p=list(LAYOUTS.values())))
        first, other = (int(random.integers(len(objects()))) for _ in range(2))
        colour = int(random.integers(len(COLOUR_NAMES)))
        if kind == "centred":
            scene = Scene(first, colour, int(random.choice(len(SIZE_NAMES), p=SIZE_ODDS)))
        elif kind == "placed":
            place = int(random.integers(len(PLACE_NAMES) - 1))
            scene = Scene(first, colour, small, place + (place >= CENTER))
        else:
            scene = Scene(first, colour, small, CENTER, first if kind == "two alike" else other)
            if kind == "two different" and first == other:
                continue
        drawn = [scene.object] if scene.count == 1 else [scene.object, scene.other]
        if held is None or all(held_out(thing, colour) == held for thing in drawn):
            return scene


def _compose(glyphs, colour: np.ndarray) -> np.ndarray:
    """Glyphs, each with its shift down and right from the centre, on a flat colour."""
    image = np.empty((SIDE, SIDE, 3), np.float32)
    image[:] = np.clip(colour, 0, 255)
    for glyph, down, right in glyphs:
        height, width = glyph.shape[:2]
        top, left = (SIDE - height) // 2 + down, (SIDE - width) // 2 + right
        window = image[top : top + height, left : left + width]
        window *= 1 - glyph[..., 3:] / 255
        window += glyph[..., :3]
    return image


def render(scene: Scene, random: np.random.Generator) -> np.ndarray:
    """The scene as SIDE x SIDE x 3 bytes; place, size and colour vary a little."""

    def glyph(thing: int, sides: tuple[int, int], down: int, right: int):
        shifts = (shift + int(random.integers(-PLACE_JITTER, PLACE_JITTER + 1)) for shift in (down, right))
        return (_glyph_at(thing, int(random.integers(sides[0], sides[1] + 1))), *shifts)

    if scene.count == 2:
        glyphs = [glyph(scene.object, TWO_SIDE, 0, -TWO_SHIFT), glyph(scene.other, TWO_SIDE, 0, TWO_SHIFT)]
    elif scene.place != CENTER:
        row, column = divmod(scene.place, 3)
        glyphs = [glyph(scene.object, PLACED_SIDE, (row - 1) * PLACE_SHIFT, (column - 1) * PLACE_SHIFT)]
    else:
        glyphs = [glyph(scene.object, SIZES[SIZE_NAMES[scene.size]], 0, 0)]
    colour = np.array(COLOURS[COLOUR_NAMES[scene.colour]]) + random.integers(-COLOUR_JITTER, COLOUR_JITTER + 1, 3)
    return np.clip(_compose(glyphs, colour) + 0.5, 0, 255).astype(np.uint8)


def renderings(object_: int, colour: np.ndarray):
    """The large object in every second size and place, as floats."""
    low, high = SIZES["large"]
    for side in range(low, high + 1, 2):
        for down in range(-PLACE_JITTER, PLACE_JITTER + 1, 2):
            for right in range(-PLACE_JITTER, PLACE_JITTER + 1, 2):
                yield _compose([(_glyph_at(object_, side), down, right)], colour)


def batch(random: np.random.Generator, count: int, held: bool | None = False, layout: str | None = None):
    """`count` scenes and their pictures, count x SIDE x SIDE x 3 bytes."""
    scenes = [draw_scene(random, held, layout) for _ in range(count)]
    return scenes, np.stack([render(scene, random) for scene in scenes])


def contact_sheet(images, columns: int, scale: int = 1) -> Image.Image:
    """Pictures (bytes, H x W x 3) in a grid with a thin grey frame."""
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + 2), columns * (width + 2), 3), 128, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + 2) + 1, i % columns * (width + 2) + 1
        sheet[top : top + height, left : left + width] = image
    return Image.fromarray(sheet).resize((sheet.shape[1] * scale, sheet.shape[0] * scale), Image.Resampling.NEAREST)
