"""The loops: a recogniser learns to write down clips, an aligner to say when each word of them is spoken."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

import torch
from tqdm import tqdm
from transformers import Qwen3ASRProcessor
from transformers.models.qwen3_asr.processing_qwen3_asr import LANGUAGE_CODE_TO_NAME

from tiny.training.aligning import IGNORED, SEGMENT_MS, Tensors, facts
from tiny.training.clips import RATE, Clip, Clips, Conditions
from tiny.training.corpus import Utterance

T = TypeVar("T")

BATCHES = ((1, 14), (2, 8), (3, 5), (6, 3), (10, 3))
"""(sentences in a clip, clips in a batch): like lengths go together."""
SAVE_EVERY = 500
EASY, HARDER = 1200, 2000
"""Batches of single, clean sentences at first; over so many more, everything else comes in. A model that is given all
of it at once learns what is usually said, and never to listen."""
MAX_S = 30.0


@dataclass(frozen=True, slots=True)
class Lesson:
    """A part of what a checkpoint learns."""

    steps: int
    lr: float
    seed: int
    often: tuple[int, ...]
    """How often clips of each length, as in `BATCHES`, are drawn."""
    conditions: Conditions = field(default_factory=Conditions)
    capitals: bool = True
    """Whether texts for the aligner may be all in capitals, too."""
    gently: bool = False
    """Single, clean sentences come first; otherwise everything from the beginning."""
    weight_decay: float = 0.05
    warm_up: float = 0.2
    """The part of the steps in which the rate rises."""
    bf16: bool = True


def train(
    parameters: Iterable[torch.nn.Parameter],
    batches: Iterator[Tensors],
    loss_of: Callable[[Tensors], torch.Tensor],
    lesson: Lesson,
    save: Callable[[], None],
) -> None:
    """AdamW, one cycle. Saves now and then."""
    learning = list(parameters)
    steps, lr = lesson.steps, lesson.lr
    optimizer = torch.optim.AdamW(learning, lr=lr, weight_decay=lesson.weight_decay, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=lesson.warm_up)
    bar = tqdm(range(steps), desc="training", unit="step", mininterval=10)
    smooth = None
    for step in bar:
        with torch.autocast("cpu", torch.bfloat16, enabled=lesson.bf16):
            loss = loss_of(next(batches))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        schedule.step()
        smooth = loss.item() if smooth is None else 0.98 * smooth + 0.02 * loss.item()
        bar.set_postfix(loss=f"{smooth:.4f}", refresh=False)
        if (step + 1) % SAVE_EVERY == 0:
            save()
    save()


def ahead(make: Callable[[], T], depth: int = 4) -> Iterator[T]:
    """`make` in a thread of its own, so that there are always some more."""
    with ThreadPoolExecutor(1) as thread:
        coming = deque(thread.submit(make) for _ in range(depth))
        while True:
            coming.append(thread.submit(make))
            yield coming.popleft().result()


class Batcher:
    """Clips of what was `said` → what the models take."""

    def __init__(self, processor: Qwen3ASRProcessor, said: Sequence[Utterance], lesson: Lesson) -> None:
        self._often, self._capitals = lesson.often, lesson.capitals
        self._processor = processor
        self._clips = Clips(said, lesson.seed, lesson.conditions)
        self._rng = random.Random(lesson.seed)
        self._made = 0 if lesson.gently else EASY + HARDER

    def for_asr(self) -> Tensors:
        """With `labels` on what the assistant writes."""
        drawn = self._draw()
        batch, lengths = self._features(drawn)
        asked, written = [], []
        ids = self._processor.tokenizer
        for clip, pads in zip(drawn, lengths, strict=True):
            asked.append(ids(head_of(clip.context) + "<|audio_pad|>" * pads + TAIL)["input_ids"])
            written.append(ids(target_of(clip))["input_ids"])
        rows = [a + w for a, w in zip(asked, written, strict=True)]
        labels = [[IGNORED] * len(a) + w for a, w in zip(asked, written, strict=True)]
        batch["input_ids"] = _padded(rows, ids.pad_token_id)
        batch["attention_mask"] = _padded([[1] * len(row) for row in rows], 0)
        batch["labels"] = _padded(labels, IGNORED)
        return batch

    def for_aligner(self) -> Tensors:
        """With `labels`, the class of each `<timestamp>`, elsewhere `IGNORED`; and its `facts`."""
        drawn = [clip for clip in self._draw() if clip.words] or self._draw_spoken()
        batch, lengths = self._features(drawn)
        ids = self._processor.tokenizer
        mark = ids.convert_tokens_to_ids("<timestamp>")
        rows, labels, known = [], [], []
        for clip, pads in zip(drawn, lengths, strict=True):
            text = self._recased(clip)
            spans = [(round(1000 * start / SEGMENT_MS), round(1000 * end / SEGMENT_MS)) for start, end in clip.words]
            known.append(facts(text, spans, pads))
            words = "".join(f"{word}<timestamp><timestamp>" for word in text)
            row = ids(f"<|audio_start|>{'<|audio_pad|>' * pads}<|audio_end|>{words}")["input_ids"]
            times = chain.from_iterable(spans)
            rows.append(row)
            labels.append([next(times) if token == mark else IGNORED for token in row])
        batch["input_ids"] = _padded(rows, ids.pad_token_id)
        batch["attention_mask"] = _padded([[1] * len(row) for row in rows], 0)
        batch["labels"] = _padded(labels, IGNORED)
        return batch | {name: torch.cat([one[name] for one in known]) for name in known[0]}

    def _draw(self) -> list[Clip]:
        self._made += 1
        hardship = min(max(self._made - EASY, 0) / HARDER, 1.0)
        sentences, count = self._rng.choices(BATCHES, self._often)[0] if self._rng.random() < hardship else BATCHES[0]
        return [self._short_enough(sentences, hardship) for _ in range(count)]

    def _draw_spoken(self) -> list[Clip]:
        while True:
            if spoken := [clip for clip in self._draw() if clip.words]:
                return spoken

    def _short_enough(self, sentences: int, hardship: float) -> Clip:
        while True:
            clip = self._clips.draw(self._rng.randint(max(1, sentences - 2), sentences), hardship)
            if len(clip.audio) <= MAX_S * RATE:
                return clip

    def _features(self, drawn: list[Clip]) -> tuple[Tensors, list[int]]:
        """Log-mel of each clip by itself, a few bands of it sometimes blanked; and its number of audio tokens."""
        found = [
            self._processor.feature_extractor(
                clip.audio, sampling_rate=RATE, padding="longest", return_attention_mask=True
            )
            for clip in drawn
        ]
        frames = max(one["input_features"].shape[-1] for one in found)
        features = torch.zeros(len(drawn), found[0]["input_features"].shape[1], frames)
        mask = torch.zeros(len(drawn), frames, dtype=torch.long)
        for i, one in enumerate(found):
            features[i, :, : one["input_features"].shape[-1]] = one["input_features"][0]
            mask[i, : one["attention_mask"].shape[-1]] = one["attention_mask"][0]
            if self._rng.random() < 0.5:
                at = self._rng.randrange(110)
                features[i, at : at + self._rng.randint(4, 18)] = features[i].min()
        lengths = self._processor._get_audio_token_length(mask.sum(-1))
        return {"input_features": features, "input_features_mask": mask}, [int(n) for n in lengths]

    def _recased(self, clip: Clip) -> list[str]:
        """The aligner's words: without punctuation, and in any case."""
        cases = (str, str, str.lower, str.title, str.upper if self._capitals else str)
        text = self._rng.choice(cases)(clip.text)
        return self._processor.split_words_for_alignment(text)


TAIL = "<|audio_end|><|im_end|>\n<|im_start|>assistant\n"


def head_of(context: str) -> str:
    return f"<|im_start|>system\n{context}<|im_end|>\n<|im_start|>user\n<|audio_start|>"


def target_of(clip: Clip) -> str:
    language = LANGUAGE_CODE_TO_NAME[clip.language] if clip.language else "None"
    return f"language {language}<asr_text>{clip.text}<|im_end|>"


def _padded(rows: list[list[int]], value: int) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [value] * (width - len(row)) for row in rows])
