"""What Qwen's own SDK says: a program for the environment that `make test-sdk` builds. Imports nothing of steno.

    python tests/sdk/oracle.py < questions.json > answers.json

Questions: `recogniser` and `aligner`, folders in Qwen's original layout; `ends`, ids of the tokens that end a text;
`max_new_tokens`; `transcribe`, a list of {audio, language, context}; `align`, a list of {audio, text, language}.
`audio` is a .npy file of float32 at 16 kHz, `language` a name such as "English", or null.
Answers: `versions`; `transcripts`, a list of {text, language}; `alignments`, a list of lists of [word, start_s, end_s].

Each clip goes through by itself: padded in a batch, its log-mel would be another.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from importlib.metadata import version
from typing import Any

import numpy as np

RATE = 16_000


def main() -> None:
    questions = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):  # it prints, and the answers stand on stdout
        answers = {
            "versions": {name: version(name) for name in ("qwen-asr", "transformers", "torch")},
            "transcripts": transcripts(questions),
            "alignments": alignments(questions),
        }
    json.dump(answers, sys.stdout)


def transcripts(questions: dict[str, Any]) -> list[dict[str, str]]:
    import torch
    from qwen_asr import Qwen3ASRModel

    sdk = Qwen3ASRModel.from_pretrained(
        questions["recogniser"],
        dtype=torch.float32,
        device_map="cpu",
        max_inference_batch_size=1,
        max_new_tokens=questions["max_new_tokens"],
    )
    # The real vocabulary's 151645 and 151643 are defaults in its `generate`, whatever the checkpoint says: with another
    # vocabulary nothing would end.
    sdk.model.generate = functools.partial(sdk.model.generate, eos_token_id=questions["ends"])
    said = [
        sdk.transcribe((np.load(one["audio"]), RATE), context=one["context"], language=one["language"])[0]
        for one in questions["transcribe"]
    ]
    return [{"text": one.text, "language": one.language} for one in said]


def alignments(questions: dict[str, Any]) -> list[list[tuple[str, float, float]]]:
    import torch
    from qwen_asr import Qwen3ForcedAligner

    sdk = Qwen3ForcedAligner.from_pretrained(questions["aligner"], dtype=torch.float32, device_map="cpu")
    found = [
        sdk.align((np.load(one["audio"]), RATE), one["text"], one["language"])[0].items for one in questions["align"]
    ]
    return [[(item.text, item.start_time, item.end_time) for item in items] for items in found]


if __name__ == "__main__":
    main()
