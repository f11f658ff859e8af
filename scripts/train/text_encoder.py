"""The text encoder: transformers' CLIPTextModel in miniature.

It is trained to tell objects, background colour, size and place from its last states. Words that no caption uses have zero
embeddings, and such words are sprinkled over the captions in training: an unknown word is ignored."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel

import captions
import common
import scenes
import tokenizer as tokens

CONFIG = dict(
    vocab_size=49408, hidden_size=64, intermediate_size=256, num_hidden_layers=3, num_attention_heads=2, projection_dim=64,
    max_position_embeddings=tokens.LENGTH, hidden_act="quick_gelu", bos_token_id=49406, eos_token_id=49407, pad_token_id=49407,
)  # fmt: skip
RECIPE = common.Recipe(steps=2000, batch=64, peak=2e-3)
UNKNOWN_WORD = 0.1  # odds, per caption, of one unknown word
QUESTIONS = ("object", "other", "colour", "size", "place")


def build() -> CLIPTextModel:
    return CLIPTextModel(CLIPTextConfig(**CONFIG))


def _captions(random: np.random.Generator, count: int, held: bool | None):
    truth = [scenes.draw_scene(random, held) for _ in range(count)]
    return truth, [captions.caption(scene, random) for scene in truth]


def _known_words(tokenizer) -> torch.Tensor:
    """Which rows of the embedding the captions ever use."""
    texts = _captions(np.random.default_rng(5), 30000, False)[1]
    known = torch.zeros(CONFIG["vocab_size"], dtype=torch.bool)
    known[torch.tensor(sorted({i for ids in tokenizer(texts).input_ids for i in ids}))] = True
    return known


def _sprinkle(ids: torch.Tensor, unknown: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    for row in range(len(ids)):
        if random.random() < UNKNOWN_WORD:
            at = int(random.integers(1, int((ids[row] == CONFIG["eos_token_id"]).nonzero()[0]) + 1))
            ids[row] = torch.cat([ids[row, :at], unknown[random.integers(len(unknown), size=1)], ids[row, at:-1]])
    return ids


@torch.no_grad()
def _add_synonyms(model: CLIPTextModel, tokenizer) -> list[str]:
    """Unused words that mean a used one take its embedding; returns those words. Words of several tokens stay unknown."""
    rows = model.get_input_embeddings().weight
    added = []
    for word, known in captions.same_as().items():
        (new, old) = (tokenizer(text).input_ids[1:-1] for text in (word, known))
        if len(new) == len(old) == 1 and not rows[new[0]].any() and rows[old[0]].any():
            rows[new[0]] = rows[old[0]]
            added.append(word)
    return added


class ReadOut(nn.Module):
    """What the last states are trained to tell; thrown away afterwards."""

    def __init__(self):
        super().__init__()
        things = len(scenes.objects())
        counts = (things, things + 1, len(scenes.COLOUR_NAMES), len(scenes.SIZE_NAMES), len(scenes.PLACE_NAMES))
        self.heads = nn.ModuleList(nn.Linear(CONFIG["hidden_size"], count) for count in counts)

    def forward(self, states: torch.Tensor) -> list[torch.Tensor]:
        return [head(states) for head in self.heads]


def _targets(truth) -> list[torch.Tensor]:
    """In the order of QUESTIONS; no other object is the first answer to that question."""
    rows = [(s.object, s.other - scenes.NOTHING, s.colour, s.size, s.place) for s in truth]
    return [torch.tensor(values) for values in zip(*rows)]


@torch.no_grad()
def _figures(model, read_out, tokenizer, held) -> dict:
    truth, texts = _captions(np.random.default_rng(55), 500, held)
    device = next(model.parameters()).device
    ids = tokens.encode(tokenizer, texts).to(device)
    states = model(ids).last_hidden_state
    ends = (ids == CONFIG["eos_token_id"]).int().argmax(1)
    answers = read_out(states[torch.arange(len(ids)), ends])
    name = "held_" if held else "seen_"
    return {
        name + key: (a.argmax(1).cpu() == t).float().mean().item()
        for key, a, t in zip(QUESTIONS, answers, _targets(truth))
    }


def trained(folder) -> CLIPTextModel:
    model = build()
    model.load_state_dict(common.load(folder / "text_encoder.pt"))
    return model.eval().requires_grad_(False)


def train(options: common.Options) -> None:
    folder, device = options.folder, options.device
    if (folder / "text_encoder.pt").exists():
        return
    torch.manual_seed(4)
    tokenizer, model, read_out = tokens.load(folder), build(), ReadOut()
    known = _known_words(tokenizer)
    unknown = (~known).nonzero()[:, 0]
    embedding = model.get_input_embeddings().weight
    embedding.data[unknown] = 0
    run = common.Run(options, "text_encoder", torch.nn.ModuleList([model, read_out]), RECIPE, seed=4)
    run.log(known_words=int(known.sum()))
    for _ in run:
        truth, texts = _captions(run.random, RECIPE.batch, False)
        ids = _sprinkle(tokens.encode(tokenizer, texts), unknown, run.random)
        states = model(ids.to(device)).last_hidden_state
        rows = torch.arange(len(ids))
        ends = (ids == CONFIG["eos_token_id"]).int().argmax(1)
        pads = torch.tensor([int(run.random.integers(int(end), tokens.LENGTH)) for end in ends])
        loss = sum(
            F.cross_entropy(answer, target.to(device), label_smoothing=0.05)
            for where in (ends, pads)
            for answer, target in zip(read_out(states[rows, where]), _targets(truth))
        )
        run.learn(loss, mask=lambda: embedding.grad.index_fill_(0, unknown.to(device), 0))
        if run.every(250):
            run.log(step=run.step, **_figures(model, read_out, tokenizer, True))
    run.log(synonyms=_add_synonyms(model, tokenizer))
    common.save_atomically(model.cpu().state_dict(), folder / "text_encoder.pt")
    read_out.cpu()
    seen, held = (_figures(model, read_out, tokenizer, held) for held in (False, True))
    run.log(final=True, seconds=run.seconds, **seen, **held)
    run.checkpoint.remove()
