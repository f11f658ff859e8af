"""Captions: what people type for a scene, in several phrasings. An unstated background is white, an unstated size is large."""

import numpy as np

import scenes

NO_ARTICLE = {"grapes", "cherries", "ice cream", "sunshine", "pizza", "corn", "maize", "broccoli", "cheese", "french fries",
              "fries", "chips", "coffee", "lightning", "high voltage", "fire"}  # fmt: skip
SIZE_WORDS = {
    "large": ("big", "large", "huge"),
    "medium": ("medium-sized", "medium"),
    "small": ("small", "tiny", "little"),
}
STATED_LARGE = 0.1  # how often a large object is called so
STATED_CENTER = 0.06
ADJECTIVE = 0.25
UNSTATED_WHITE = 0.6
PLACE_LAST = 0.2  # how often the place ends the caption instead of following the object

# {o}: the object with its article, {n}: without, {c}: the colour, {ac}: the colour with its article
STATED = (
    ("{o} on {ac} background", 8), ("{o} on {c}", 1), ("{o} on {ac} backdrop", 0.5), ("{o} against {ac} background", 1),
    ("{o} with {ac} background", 1), ("{o} in front of {ac} background", 1), ("{o} on a plain {c} background", 0.5),
    ("{ac} background with {o}", 1), ("{c} background, {n}", 1), ("{n}, {c} background", 1), ("{n}, {c}", 1), ("{n} on {c}", 1),
    ("{n} on {ac} background", 1.5), ("a picture of {o} on {ac} background", 1), ("an emoji of {o} on {ac} background", 0.7),
    ("a drawing of {o} on {ac} background", 0.5), ("{n} emoji, {c} background", 0.5), ("{o} in front of {ac} wall", 0.5),
)  # fmt: skip
UNSTATED = (
    ("{o}", 4), ("{n}", 3), ("a picture of {o}", 1), ("an emoji of {o}", 0.7), ("a drawing of {o}", 0.5), ("{n} emoji", 0.5),
)  # fmt: skip
PLACES = {
    "top left": ("in the top left corner", "in the top left", "at the top left", "in the upper left corner", "top left"),
    "top": ("at the top", "at the top", "on top", "at the upper edge"),
    "top right": ("in the top right corner", "in the top right", "at the top right", "in the upper right corner", "top right"),
    "left": ("on the left", "on the left", "on the left side", "at the left", "to the left"),
    "center": ("in the center", "in the centre", "in the middle"),
    "right": ("on the right", "on the right", "on the right side", "at the right", "to the right"),
    "bottom left": ("in the bottom left corner", "in the bottom left", "at the bottom left", "in the lower left corner", "bottom left"),
    "bottom": ("at the bottom", "at the bottom", "on the bottom", "at the lower edge"),
    "bottom right": ("in the bottom right corner", "in the bottom right", "at the bottom right", "in the lower right corner",
                     "bottom right"),
}  # fmt: skip
ALIKE = (("two {p}", 5), ("a pair of {p}", 1.5), ("2 {p}", 1), ("two {p} side by side", 1), ("{p}, two of them", 0.3))
DIFFERENT = (
    ("{a} and {b}", 5), ("{a} next to {b}", 1.5), ("{a} beside {b}", 1), ("{a} to the left of {b}", 1.5), ("{a} left of {b}", 0.7),
    ("{b} to the right of {a}", 1.5), ("{b} right of {a}", 0.7), ("{a} on the left and {b} on the right", 0.7), ("{a}, {b}", 0.3),
    ("{a} with {b}", 0.3), ("{a} and {b} side by side", 0.5),
)  # fmt: skip

# Words that no caption uses but people do: each takes the embedding of the word it stands for. Plurals are added to these.
SAME_AS = {
    "gray": "grey", "violet": "purple", "magenta": "pink", "turquoise": "teal", "cyan": "teal",
    "crimson": "red", "scarlet": "red", "navy": "blue", "azure": "blue", "emerald": "green", "lime": "green", "puppies": "puppy",
    "kittens": "kitten", "doggy": "dog", "pup": "puppy", "auto": "car", "butterflies": "butterfly",
    "strawberries": "strawberry", "hut": "house", "photo": "picture", "photograph": "picture", "image": "picture",
    "painting": "drawing", "sketch": "drawing", "illustration": "drawing", "couple": "pair", "stallion": "horse", "mare": "horse",
    "hare": "rabbit", "fort": "castle", "palace": "castle", "jet": "airplane", "flames": "flame", "automobiles": "automobile",
}  # fmt: skip


def same_as() -> dict[str, str]:
    """SAME_AS and the regular plurals of one-word names."""
    names = [name for thing in scenes.objects() for name in (thing.name, *thing.other_names) if name.isalpha()]
    plurals = {regular_plural(name): name for name in names}
    return plurals | SAME_AS


def regular_plural(name: str) -> str:
    return name + ("es" if name.endswith(("s", "h", "x")) else "s")


def _pick(random: np.random.Generator, weighted):
    weights = np.array([weight for _, weight in weighted], float)
    return weighted[random.choice(len(weighted), p=weights / weights.sum())][0]


def article(words: str) -> str:
    return ("an " if words[0] in "aeiou" and not words.startswith("uni") else "a ") + words


def with_article(name: str, described: str | None = None) -> str:
    """`described` is the name with its adjectives."""
    words = described or name
    return words if name in NO_ARTICLE else article(words)


def _name(object_: int, random: np.random.Generator) -> str:
    thing = scenes.objects()[object_]
    names = (thing.name,) * 3 + thing.other_names
    return names[random.integers(len(names))]


def _described(object_: int, name: str, random: np.random.Generator) -> str:
    adjectives = scenes.objects()[object_].adjectives
    if adjectives and random.random() < ADJECTIVE:
        adjective = adjectives[random.integers(len(adjectives))]
        if not name.startswith(adjective):
            return f"{adjective} {name}"
    return name


def _one(scene: scenes.Scene, random: np.random.Generator) -> tuple[str, str, str]:
    """The object with and without its article, and what ends the caption."""
    name = _name(scene.object, random)
    noun = _described(scene.object, name, random)
    size = scenes.SIZE_NAMES[scene.size]
    placed = scene.place != scenes.CENTER
    odds = 0.15 if placed else STATED_LARGE if size == "large" else 1
    if random.random() < odds:
        words = SIZE_WORDS[size]
        noun = f"{words[random.integers(len(words))]} {noun}"
    full = f"the {noun}" if name not in NO_ARTICLE and random.random() < 0.1 else with_article(name, noun)
    if not placed and random.random() >= STATED_CENTER:
        return full, noun, ""
    ways = PLACES[scenes.PLACE_NAMES[scene.place]]
    place = ways[random.integers(len(ways))]
    if random.random() < PLACE_LAST:
        return full, noun, f", {place}"
    return f"{full} {place}", f"{noun} {place}", ""


def _two(scene: scenes.Scene, random: np.random.Generator) -> str:
    if scene.object == scene.other:
        thing = scenes.objects()[scene.object]
        single_words = [name for name in thing.other_names if name.isalpha() and name not in NO_ARTICLE]
        plurals = [thing.plural] * 4 + [regular_plural(name) for name in single_words if not name.endswith("y")]
        return _pick(random, ALIKE).format(p=plurals[random.integers(len(plurals))])
    named = []
    for object_ in (scene.object, scene.other):
        name = _name(object_, random)
        named.append(with_article(name, _described(object_, name, random)))
    return _pick(random, DIFFERENT).format(a=named[0], b=named[1])


def caption(scene: scenes.Scene, random: np.random.Generator) -> str:
    if scene.count == 1:
        full, noun, end = _one(scene, random)
    else:
        full = noun = _two(scene, random)
        end = ""
    colour = scenes.COLOUR_NAMES[scene.colour]
    unstated = colour == "white" and random.random() < UNSTATED_WHITE
    text = _pick(random, UNSTATED if unstated else STATED).format(o=full, n=noun, c=colour, ac=article(colour)) + end
    return text + "." if random.random() < 0.05 else text


def plain(scene: scenes.Scene) -> str:
    """The phrasing of the evaluation and of the README; white is not mentioned."""
    first = scenes.objects()[scene.object]
    if scene.count == 1:
        thing = with_article(first.name)
        if scene.place != scenes.CENTER:
            thing += " " + PLACES[scenes.PLACE_NAMES[scene.place]][0]
    elif scene.object == scene.other:
        thing = f"two {first.plural}"
    else:
        thing = f"{with_article(first.name)} and {with_article(scenes.objects()[scene.other].name)}"
    colour = scenes.COLOUR_NAMES[scene.colour]
    return thing if colour == "white" else f"{thing} on {article(colour)} background"
