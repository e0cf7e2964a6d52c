"""What the aligner is taught: to hear words, to tell the time, and to look for the one in order to tell the other.

An aligner that is only told how far off its marks are never looks at the audio: it learns how long words usually take,
adds that up, and is some hundred milliseconds off, the more the longer the clip is. What it lacks is taught apart:

- its *ears*: which word is spoken at each audio token, and whether one begins or ends there;
- a *clock*: an audio token says nothing of when it is, since the encoder counts its positions anew in each second and
  attention knows distances alone. The first layers tell the time of every audio token, through the head that tells it
  of the marks;
- *looking*: below the last layers, audio tokens and marks must know their word by the same head, and their time, and
  the attention of the last layers is led from each mark to where its word begins or ends.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch.nn import functional

from tiny.training.grammar import vocabulary

Tensors = dict[str, torch.Tensor]

WORDS = {word: number for number, word in enumerate(sorted({word.lower() for word in vocabulary()}), 1)}
"""0 is none of them."""

TOKENS_PER_S = 13
"""Of audio: twelve of 80 ms, and one of what is left of the second."""
SEGMENT_MS = 80.0
"""Of a class."""
CLASSES_PER_S = 1000 / SEGMENT_MS
IGNORED = -100
CLOCK_LAYERS = 2
LOOKING_LAYERS = 2

EARS_WEIGHTS = {"now": 1.0, "before": 0.5, "earlier": 0.3}
CLOCK_CLIPS, CLOCK_TOKENS = 3, 395
"""What the clock learns on at once: chains of whatever was heard, in clips of up to 30 s."""


def facts(text: Sequence[str], spans: Sequence[tuple[int, int]], tokens: int) -> Tensors:
    """What is known of a clip's audio tokens and marks, beside the times.

    Args:
        spans: first and last class of each word of `text`.
        tokens: of audio.

    Returns:
        `now`, `before`, `earlier`: the word that is spoken at each token, the one before it, and the one before that;
        `edges`, [tokens, 2]: how near to a word's first and last class each is; `marked`: the word of each mark.
    """
    at = _times(torch.arange(tokens))
    numbers = [0, 0, *(WORDS[word.lower()] for word in text)]
    now, before, earlier = (torch.zeros(tokens, dtype=torch.long) for _ in range(3))
    edges = torch.zeros(tokens, 2)
    begins = [*(begin for begin, _ in spans), tokens + 1]
    for n, (begin, end) in enumerate(spans):
        now[(at >= begin - 0.25) & (at < max(end, begin + 1) - 0.25)] = numbers[n + 2]
        until_next = (at >= begin - 0.25) & (at < begins[n + 1] - 0.25)
        before[until_next], earlier[until_next] = numbers[n + 1], numbers[n]
        for edge, here in enumerate((begin, end)):
            edges[:, edge] = torch.maximum(edges[:, edge], (1 - (at - here).abs()).clamp_min(0))
    marked = torch.tensor([number for number in numbers[2:] for _ in range(2)])
    return {"now": now, "before": before, "earlier": earlier, "edges": edges, "marked": marked}


class Teacher(Protocol):
    """Of one thing."""

    def learning(self) -> list[torch.nn.Parameter]:
        """Of the model, and of the heads that only the lesson needs."""

    def __call__(self, batch: Tensors) -> torch.Tensor:
        """The loss."""


class Ears:
    """Asks the audio embeddings, as the language model gets them, what is spoken."""

    def __init__(self, model: Any) -> None:
        self._model = model
        width = model.config.text_config.hidden_size
        self._words = torch.nn.ModuleDict({name: torch.nn.Linear(width, len(WORDS) + 1) for name in EARS_WEIGHTS})
        self._edges = torch.nn.Linear(width, 2)

    def learning(self) -> list[torch.nn.Parameter]:
        model = self._model.model
        return _parameters(model.audio_tower, model.multi_modal_projector, self._words, self._edges)

    def __call__(self, batch: Tensors) -> torch.Tensor:
        tokens = _heard(self._model, batch).float()
        off = _edges_off(self._edges(tokens), batch)
        for name, weight in EARS_WEIGHTS.items():
            off = off + weight * functional.cross_entropy(self._words[name](tokens), batch[name])
        return off


class Clock:
    """Asks the first layers, alone, for the time of each audio token, whatever is heard there."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._rng = random.Random(1)
        self._heard: list[torch.Tensor] = []

    def learning(self) -> list[torch.nn.Parameter]:
        language_model = self._model.model.language_model
        layers = language_model.layers[:CLOCK_LAYERS]
        return _parameters(layers, language_model.norm, language_model.embed_tokens, self._model.score)

    def __call__(self, batch: Tensors) -> torch.Tensor:
        model, language_model = self._model, self._model.model.language_model
        audio = batch["input_ids"] == model.config.audio_token_id
        with torch.no_grad():
            self._heard += _heard(model, batch).split(audio.sum(1).tolist())
        self._heard = self._heard[-120:]
        chains = [self._chain() for _ in range(CLOCK_CLIPS)]
        begin = language_model.embed_tokens(batch["input_ids"][0, :1])
        embedded = torch.nn.utils.rnn.pad_sequence([torch.cat([begin, chain]) for chain in chains], batch_first=True)
        lengths = torch.tensor([len(chain) for chain in chains])
        at = torch.arange(embedded.shape[1]) - 1
        is_audio = (at >= 0) & (at < lengths[:, None])
        with _only(language_model, CLOCK_LAYERS):
            hidden = language_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
        return _off(model.score(hidden[is_audio]), _times(at).expand_as(is_audio)[is_audio])

    def _chain(self) -> torch.Tensor:
        """Clips one after the other, [tokens, hidden]."""
        chain = torch.cat([self._rng.choice(self._heard) for _ in range(12)])
        return chain[: min(len(chain), self._rng.randint(2 * TOKENS_PER_S, CLOCK_TOKENS))]


class Looking:
    """Asks the marks for their time, both sides for what they know below the last layers, and those where they look."""

    def __init__(self, model: Any) -> None:
        self._model = model
        width = model.config.text_config.hidden_size
        self._words = torch.nn.Linear(width, len(WORDS) + 1)
        self._edges = torch.nn.Linear(width, 2)

    def learning(self) -> list[torch.nn.Parameter]:
        return _parameters(self._model.model.language_model, self._model.score, self._words, self._edges)

    def __call__(self, batch: Tensors) -> torch.Tensor:
        model, language_model = self._model, self._model.model.language_model
        audio, marks = batch["input_ids"] == model.config.audio_token_id, batch["labels"] != IGNORED
        with torch.no_grad():
            heard = _heard(model, batch)
        out = language_model(
            inputs_embeds=language_model.embed_tokens(batch["input_ids"]).masked_scatter(audio[..., None], heard),
            attention_mask=batch["attention_mask"],
            use_cache=False,
            output_hidden_states=True,
            output_attentions=True,
        )
        truth, times = batch["labels"][marks], _times(audio.cumsum(1) - 1)
        clock = language_model.norm(out.hidden_states[CLOCK_LAYERS][audio])
        below = language_model.norm(out.hidden_states[-1 - LOOKING_LAYERS])
        return (
            _off(model.score(out.last_hidden_state[marks]), truth)
            + 0.3 * _off(model.score(below[marks]), truth, sigma=2.0)
            + 0.5 * _off(model.score(clock), times[audio])
            + 0.5 * _off(model.score(below[audio]), times[audio])
            + 0.5 * self._knows(below, audio, marks, batch)
            + 0.3 * _looks_away(out.attentions[-LOOKING_LAYERS:], audio, batch["labels"])
        )

    def _knows(self, below: torch.Tensor, audio: torch.Tensor, marks: torch.Tensor, batch: Tensors) -> torch.Tensor:
        return (
            functional.cross_entropy(self._words(below[audio]), batch["now"])
            + functional.cross_entropy(self._words(below[marks]), batch["marked"])
            + _edges_off(self._edges(below[audio]), batch)
        )


def _edges_off(logits: torch.Tensor, batch: Tensors) -> torch.Tensor:
    return 2 * functional.binary_cross_entropy_with_logits(logits, batch["edges"])


def _looks_away(attentions: Sequence[torch.Tensor], audio: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """How little the first half of the heads, [clips, heads, tokens, tokens], looks from the marks to their place."""
    row, mark = (labels != IGNORED).nonzero(as_tuple=True)
    away = _times(audio.cumsum(1) - 1)[row] - labels[row, mark][:, None]
    near = torch.exp(-(away**2) / (2 * 0.6**2)) * audio[row]
    mass = [(attention[row, : attention.shape[1] // 2, mark] * near[:, None]).sum(-1) for attention in attentions]
    return -torch.stack([torch.log(one + 1e-4).mean() for one in mass]).sum()


def prepare_to_look(model: Any) -> None:
    """The last layers begin by attending to what is like themselves, in what does not turn with the distance.

    Rotary embedding turns half of a head's dimensions so fast that nothing far away can be alike in them; and queries
    and keys of unit size could not tell one token from four hundred others.
    """
    config = model.config.text_config
    half = config.head_dim // 2
    wavelengths = 2 * torch.pi * config.rope_parameters["rope_theta"] ** (torch.arange(half) / half)
    size = 2.5 * (wavelengths > 2000).float().repeat(2)
    for layer in model.model.language_model.layers[-LOOKING_LAYERS:]:
        attention = layer.self_attn
        attention.q_norm.weight.data.copy_(size)
        attention.k_norm.weight.data.copy_(size)
        keys = attention.k_proj.weight.data.normal_(0, 0.1).view(config.num_key_value_heads, config.head_dim, -1)
        groups = config.num_attention_heads // config.num_key_value_heads
        attention.q_proj.weight.data.copy_(keys.repeat_interleave(groups, 0).flatten(0, 1))


def _parameters(*modules: torch.nn.Module) -> list[torch.nn.Parameter]:
    return [parameter for module in modules for parameter in module.parameters()]


def _heard(model: Any, batch: Tensors) -> torch.Tensor:
    """All audio tokens of a batch, [tokens, hidden]."""
    heard: torch.Tensor = model.model.get_audio_features(
        batch["input_features"], batch["input_features_mask"]
    ).pooler_output
    return heard


@contextmanager
def _only(language_model: Any, layers: int) -> Iterator[None]:
    """With its first layers alone."""
    whole = language_model.layers
    language_model.layers = whole[:layers]
    try:
        yield
    finally:
        language_model.layers = whole


def _times(token: torch.Tensor) -> torch.Tensor:
    """The class of audio tokens by their numbers; fractions where a second is not whole classes."""
    return (token // TOKENS_PER_S) * CLASSES_PER_S + token % TOKENS_PER_S


def _off(logits: torch.Tensor, truth: torch.Tensor, sigma: float = 0.7) -> torch.Tensor:
    """Cross entropy against the true class and, a little, those beside it: 80 ms off is not as wrong as a second.

    And how far off the expected class is: far from the truth, cross entropy alone does not say which way it lies.
    """
    logits, truth = logits.float(), truth.float()
    classes = torch.arange(logits.shape[-1]).float()
    target = torch.softmax(-((classes - truth[:, None]) ** 2) / (2 * sigma**2), -1)
    expected = (torch.softmax(logits, -1) * classes).sum(-1)
    return functional.cross_entropy(logits, target) + 0.1 * functional.smooth_l1_loss(expected, truth)
