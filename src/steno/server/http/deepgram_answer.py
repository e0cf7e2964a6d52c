"""A transcript as Deepgram's answer for a recording, and the parts of it that live results have too."""

from __future__ import annotations

import unicodedata
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from steno import __version__
from steno.captions.endings import ends_sentence
from steno.captions.script import joined
from steno.pipelines.subtitle import words_of
from steno.server.http.listen_options import ListenOptions
from steno.types import Segment, Transcript, Word

PARAGRAPH_SENTENCES = 5
PARAGRAPH_PAUSE_S = 2.0
"""After so long a pause, or so many sentences, a new paragraph begins."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is told of a recording beside its text."""

    request_id: str
    sha256: str
    created: datetime


def listen_answer(transcript: Transcript, options: ListenOptions, receipt: Receipt) -> dict[str, Any]:
    words = words_of(transcript.segments)
    numbers = _speaker_numbers(words)
    sure = _confidence(words, transcript.segments)
    wire = [_spoken_word(word, sure, numbers) for word in words]
    alternative: dict[str, Any] = {"transcript": transcript.text, "confidence": sure, "words": wire}
    if options.multilingual and transcript.language:
        alternative["languages"] = [transcript.language]
    if options.paragraphs:
        alternative["paragraphs"] = _paragraphs(words, numbers)
    channel: dict[str, Any] = {"alternatives": [alternative]}
    if options.detects_language and transcript.language:
        channel["detected_language"] = transcript.language
    results: dict[str, Any] = {"channels": [channel]}
    if options.utt_split_s is not None:
        results["utterances"] = [_utterance(part, sure, numbers) for part in _split(words, options.utt_split_s)]
    return {"metadata": _metadata(transcript, options, receipt), "results": results}


def model_uuid(model_id: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, model_id))


def model_info(model_id: str) -> dict[str, str]:
    return {"name": model_id, "version": __version__, "arch": "steno"}


def diarize_info() -> dict[str, dict[str, str]]:
    """The metadata's member on what told the speakers apart; there is none if they were not asked for."""
    return {"diarize_info": {"model_uuid": model_uuid("steno-speakers"), "arch": "steno"}}


def timestamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def wire_word(word: Word, confidence: float) -> dict[str, Any]:
    """`confidence`: of a word that has none of its own."""
    return {
        "word": bare(word.text),
        "start": round(word.start_s, 4),
        "end": round(word.end_s, 4),
        "confidence": round(_sure(word, confidence), 4),
        "punctuated_word": word.text,
    }


def _sure(word: Word, otherwise: float) -> float:
    return otherwise if word.confidence is None else word.confidence


def _speaker_numbers(words: Sequence[Word]) -> dict[str, int]:
    """Deepgram's speakers are numbers, in the order in which they first speak."""
    names = dict.fromkeys(word.speaker for word in words if word.speaker is not None)
    return {name: number for number, name in enumerate(names)}


def _speaker(word: Word, numbers: Mapping[str, int]) -> dict[str, int]:
    return {"speaker": numbers[word.speaker]} if word.speaker is not None else {}


def _spoken_word(word: Word, confidence: float, numbers: Mapping[str, int]) -> dict[str, Any]:
    if word.speaker is None:
        return wire_word(word, confidence)
    sure = {"speaker_confidence": round(word.speaker_confidence or 0.0, 4)}
    return {**wire_word(word, confidence), **_speaker(word, numbers), **sure}


def bare(text: str) -> str:
    """In lower case, without punctuation around it: `"Don't!"` → `don't`. What is nothing else stays."""
    begin, end = 0, len(text)
    while begin < end and unicodedata.category(text[begin])[0] == "P":
        begin += 1
    while end > begin and unicodedata.category(text[end - 1])[0] == "P":
        end -= 1
    return (text[begin:end] or text).lower()


def _metadata(transcript: Transcript, options: ListenOptions, receipt: Receipt) -> dict[str, Any]:
    uid = model_uuid(options.model_id)
    return {
        "transaction_key": "deprecated",
        "request_id": receipt.request_id,
        "sha256": receipt.sha256,
        "created": timestamp(receipt.created),
        "duration": round(transcript.duration_s, 4),
        "channels": 1,
        "models": [uid],
        "model_info": {uid: model_info(options.model_id)},
        **(diarize_info() if options.file.speakers else {}),
        **({"tags": list(options.tags)} if options.tags else {}),
        **({"warnings": list(transcript.warnings)} if transcript.warnings else {}),
    }


def _confidence(words: Sequence[Word], segments: Sequence[Segment]) -> float:
    """1 where the recogniser knows none, as live; 0 where there is no text."""
    if not words:
        return 0.0
    known = [word.confidence for word in words if word.confidence is not None]
    known = known or [segment.confidence for segment in segments if segment.confidence is not None]
    return round(sum(known) / len(known), 4) if known else 1.0


def _split(words: Sequence[Word], pause_s: float) -> Iterator[Sequence[Word]]:
    begin = 0
    for n in range(1, len(words) + 1):
        if n == len(words) or _changes(words, n) or words[n].start_s - words[n - 1].end_s >= pause_s:
            yield words[begin:n]
            begin = n


def _changes(words: Sequence[Word], n: int) -> bool:
    """Whether another speaker begins with word `n`."""
    return words[n].speaker != words[n - 1].speaker


def _utterance(words: Sequence[Word], confidence: float, numbers: Mapping[str, int]) -> dict[str, Any]:
    return {
        "start": round(words[0].start_s, 4),
        "end": round(words[-1].end_s, 4),
        "confidence": round(sum(_sure(word, confidence) for word in words) / len(words), 4),
        "channel": 0,
        "transcript": joined([word.text for word in words]),
        "words": [_spoken_word(word, confidence, numbers) for word in words],
        **_speaker(words[0], numbers),
        "id": str(uuid.uuid4()),
    }


def _paragraphs(words: Sequence[Word], numbers: Mapping[str, int]) -> dict[str, Any]:
    paragraphs = [_paragraph(sentences, numbers) for sentences in _grouped(list(_sentences(words)))]
    texts = [" ".join(sentence["text"] for sentence in paragraph["sentences"]) for paragraph in paragraphs]
    speakers = [paragraph.get("speaker") for paragraph in paragraphs]
    labelled = [
        f"Speaker {speaker}: {text}" if speaker is not None and speaker != before else text
        for text, speaker, before in zip(texts, speakers, [None, *speakers], strict=False)
    ]
    return {"transcript": "\n" + "\n\n".join(labelled), "paragraphs": paragraphs}


def _sentences(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    begin = 0
    for n, word in enumerate(words, 1):
        if (
            n == len(words)
            or words[n].start_s - word.end_s >= PARAGRAPH_PAUSE_S
            or _changes(words, n)
            or ends_sentence(word.text, words[n].text)
        ):
            yield words[begin:n]
            begin = n


def _grouped(sentences: Sequence[Sequence[Word]]) -> Iterator[Sequence[Sequence[Word]]]:
    begin = 0
    for n in range(1, len(sentences) + 1):
        over = n == len(sentences) or n - begin >= PARAGRAPH_SENTENCES
        over = over or sentences[n][0].speaker != sentences[n - 1][-1].speaker
        if over or sentences[n][0].start_s - sentences[n - 1][-1].end_s >= PARAGRAPH_PAUSE_S:
            yield sentences[begin:n]
            begin = n


def _paragraph(sentences: Sequence[Sequence[Word]], numbers: Mapping[str, int]) -> dict[str, Any]:
    return {
        "sentences": [
            {
                "text": joined([word.text for word in sentence]),
                "start": round(sentence[0].start_s, 4),
                "end": round(sentence[-1].end_s, 4),
            }
            for sentence in sentences
        ],
        "num_words": sum(map(len, sentences)),
        "start": round(sentences[0][0].start_s, 4),
        "end": round(sentences[-1][-1].end_s, 4),
        **_speaker(sentences[0][0], numbers),
    }
