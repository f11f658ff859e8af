"""Captions: what people type for a scene, in several phrasings. An unstated background is white, an unstated size is large."""

import numpy as np

import scenes

NO_ARTICLE = {"grapes", "cherries", "ice cream", "sunshine", "pizza"}
SIZE_WORDS = {
    "large": ("big", "large", "huge"),
    "medium": ("medium-sized", "medium"),
    "small": ("small", "tiny", "little"),
}
STATED_LARGE = 0.1  # how often a large object is called so
ADJECTIVE = 0.25
UNSTATED_WHITE = 0.6

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


# Words that no caption uses but people do: each takes the embedding of the word it stands for. Plurals are added to these.
SAME_AS = {
    "gray": "grey", "violet": "purple", "magenta": "pink", "turquoise": "teal", "cyan": "teal",
    "crimson": "red", "scarlet": "red", "navy": "blue", "azure": "blue", "emerald": "green", "lime": "green", "puppies": "puppy",
    "kittens": "kitten", "doggy": "dog", "pup": "puppy", "auto": "car", "vehicle": "car", "butterflies": "butterfly",
    "snowmen": "snowman", "strawberries": "strawberry", "hut": "house", "photo": "picture",
    "photograph": "picture", "image": "picture", "painting": "drawing", "sketch": "drawing", "illustration": "drawing",
}  # fmt: skip


def same_as() -> dict[str, str]:
    """SAME_AS and the regular plurals of one-word names."""
    names = [name for thing in scenes.objects() for name in (thing.name, *thing.other_names) if name.isalpha()]
    plurals = {name + ("es" if name.endswith(("s", "h", "x")) else "s"): name for name in names}
    return plurals | SAME_AS


def _pick(random: np.random.Generator, weighted):
    weights = np.array([weight for _, weight in weighted], float)
    return weighted[random.choice(len(weighted), p=weights / weights.sum())][0]


def article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def caption(scene: scenes.Scene, random: np.random.Generator) -> str:
    thing = scenes.objects()[scene.object]
    names = (thing.name,) * 3 + thing.other_names
    name = names[random.integers(len(names))]
    noun = name
    if thing.adjectives and random.random() < ADJECTIVE:
        adjective = thing.adjectives[random.integers(len(thing.adjectives))]
        if not noun.startswith(adjective):
            noun = f"{adjective} {noun}"
    size = scenes.SIZE_NAMES[scene.size]
    if size != "large" or random.random() < STATED_LARGE:
        words = SIZE_WORDS[size]
        noun = f"{words[random.integers(len(words))]} {noun}"
    colour = scenes.COLOUR_NAMES[scene.colour]
    with_article = noun if name in NO_ARTICLE else f"the {noun}" if random.random() < 0.1 else article(noun)
    unstated = colour == "white" and random.random() < UNSTATED_WHITE
    text = _pick(random, UNSTATED if unstated else STATED).format(o=with_article, n=noun, c=colour, ac=article(colour))
    return text + "." if random.random() < 0.05 else text


def plain(object_: int, colour: int | None) -> str:
    """The phrasing of the evaluation and of the README."""
    name = scenes.objects()[object_].name
    thing = name if name in NO_ARTICLE else article(name)
    return thing if colour is None else f"{thing} on {article(scenes.COLOUR_NAMES[colour])} background"
