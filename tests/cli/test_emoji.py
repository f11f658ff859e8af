"""The model that comes with the program draws what it is asked for: colours by eye of the corner pixels, objects by the
colours in the middle. models/emoji/README.md has the figures of an independent classifier."""

import pytest
from conftest import ROOT
from PIL import Image

COLOURS = {"red": (0xDD, 0x30, 0x30), "blue": (0x30, 0x60, 0xE0), "green": (0x30, 0xA0, 0x40), "yellow": (0xF5, 0xD0, 0x30),
           "white": (0xFF, 0xFF, 0xFF), "black": (0x18, 0x18, 0x18)}


def nearest_colour(pixel):
    return min(COLOURS, key=lambda name: sum((a - b) ** 2 for a, b in zip(pixel, COLOURS[name], strict=True)))


def make(darkroom, prompt):
    darkroom.environment["DARKROOM_MODELS"] = str(ROOT / "models")
    result = darkroom.run(prompt, "-s", "1", "-o", "x.png", "-t", "1", "--force")
    assert result.code == 0, result.err
    with Image.open(darkroom.folder / "x.png") as image:
        return image.convert("RGB").resize((16, 16), Image.Resampling.BOX)


@pytest.mark.parametrize("background", ["blue", "green", "yellow", "black"])
def test_the_background_has_the_colour_asked_for(darkroom, background):
    picture = make(darkroom, f"a red apple on a {background} background")
    corners = [nearest_colour(picture.getpixel(place)) for place in ((0, 0), (15, 0), (0, 15), (15, 15))]
    assert corners == [background] * 4
    assert nearest_colour(picture.getpixel((8, 9))) == "red"


def test_without_a_colour_the_background_is_white(darkroom):
    picture = make(darkroom, "a banana")
    assert nearest_colour(picture.getpixel((0, 15))) == "white"


@pytest.mark.parametrize("thing, colour", [("red apple", "red"), ("banana", "yellow")])
def test_the_thing_has_its_colour(darkroom, thing, colour):
    picture = make(darkroom, f"a {thing} on a blue background")
    pixels = zip(*[iter(picture.tobytes())] * 3, strict=True)
    things = [name for name in map(nearest_colour, pixels) if name in ("red", "yellow", "green")]
    assert len(things) > 25
    assert max(set(things), key=things.count) == colour
