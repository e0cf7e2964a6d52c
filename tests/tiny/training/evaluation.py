"""What was learned, on sentences that training never saw: by transformers alone, so that nothing of ours is trusted."""

from __future__ import annotations

import re
from pathlib import Path

import jiwer
import numpy as np
import torch
from transformers import AutoProcessor, Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification

from tiny.training.clips import RATE, Audio, Clip, join, telephone
from tiny.training.corpus import speak_corpus

SENTENCES = {"en": 60, "de": 30}
SEED = 1000


def recogniser(folder: Path) -> dict[str, float]:
    """Word error rates, by condition; `noise` is the share of noisy silence that came out as text."""
    processor = AutoProcessor.from_pretrained(folder)
    model = Qwen3ASRForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()

    def hear(audio: Audio) -> str:
        inputs = processor.apply_transcription_request(audio)
        tokens = model.generate(**inputs, max_new_tokens=200)[0, inputs["input_ids"].shape[1] :]
        return str(processor.decode(tokens, return_format="transcription_only"))

    clips = [join([one], [0.3, 0.4]) for one in speak_corpus(SEED, SENTENCES, held_out=True)]
    english = [clip for clip in clips if clip.language == "en"]
    long = [_chain(english, n, 6) for n in range(0, SENTENCES["en"] // 2, 6)]
    rng = np.random.default_rng(SEED)
    rooms = [np.asarray(rng.standard_normal(RATE * 3) * 10.0**-n, np.float32) for n in range(1, 6)]
    return {
        "en": _wer(hear, english, lambda audio: audio),
        "de": _wer(hear, [clip for clip in clips if clip.language == "de"], lambda audio: audio),
        "mu-law": _wer(hear, clips, telephone),
        "-40 dB": _wer(hear, clips, lambda audio: audio * np.float32(0.01)),
        "six sentences": _wer(hear, long, lambda audio: audio),
        "noise": float(np.mean([bool(hear(room)) for room in rooms])),
    }


def aligner(folder: Path) -> dict[str, float]:
    """Mean error of word starts and ends, in milliseconds, and the part that is more than 100 ms off."""
    processor = AutoProcessor.from_pretrained(folder)
    model = Qwen3ASRForTokenClassification.from_pretrained(folder, dtype=torch.float32).eval()
    clips = [join([one], [0.3, 0.4]) for one in speak_corpus(SEED, SENTENCES, held_out=True)]
    english = [clip for clip in clips if clip.language == "en"]
    measured = {
        "one sentence": clips,
        "six sentences": [_chain(english, n, 6) for n in range(0, SENTENCES["en"] - 5, 6)],
        "25 to 30 s": [_filled(english, n, 30.0) for n in range(0, SENTENCES["en"] - 14, 5)],
    }
    found: dict[str, float] = {}
    for name, some in measured.items():
        errors = np.concatenate([_errors_ms(processor, model, clip) for clip in some])
        found[f"{name}: mean ms"] = float(errors.mean())
        found[f"{name}: over 100 ms"] = float((errors > 100).mean())
    return found


def _errors_ms(processor: object, model: torch.nn.Module, clip: Clip) -> np.ndarray:
    inputs, words = processor.prepare_forced_aligner_inputs(clip.audio, clip.text, language=clip.language)  # type: ignore[attr-defined]
    with torch.inference_mode():
        logits = model(**inputs).logits
    (items,) = processor.decode_forced_alignment(  # type: ignore[attr-defined]
        logits, inputs["input_ids"], words, model.config.timestamp_token_id
    )
    said = np.array([(item["start_time"], item["end_time"]) for item in items])
    return np.asarray(1000 * np.abs(said - np.array(clip.words)).ravel())


def _filled(clips: list[Clip], first: int, seconds: float) -> Clip:
    """As many of them, from the first on, as there is time for."""
    ends = np.cumsum([len(clip.audio) for clip in clips[first:]])
    return _chain(clips, first, int(np.searchsorted(ends, seconds * RATE, side="right")))


def _chain(clips: list[Clip], first: int, count: int) -> Clip:
    some = clips[first : first + count]
    words: list[tuple[float, float]] = []
    at = 0.0
    for clip in some:
        words += [(start + at, end + at) for start, end in clip.words]
        at += len(clip.audio) / RATE
    audio = np.concatenate([clip.audio for clip in some])
    return Clip(audio, some[0].language, " ".join(clip.text for clip in some), tuple(words))


def _wer(hear: object, clips: list[Clip], through: object) -> float:
    said = [plain(clip.text) for clip in clips]
    heard = [plain(hear(through(clip.audio))) or "-" for clip in clips]  # type: ignore[operator]
    return float(jiwer.wer(said, heard))


def plain(text: str) -> str:
    """Without case and punctuation."""
    return re.sub(r"[^\w ]+", " ", text.lower()).strip()
