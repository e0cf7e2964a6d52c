"""A loaded recogniser: every part of it, from samples to tokens, under one name. Gone with the last use of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from steno.backends.qwen.decoder import Choice, Decoder, Prompt
from steno.backends.qwen.encoder import Encoder
from steno.backends.qwen.frontend import Frontend
from steno.backends.qwen.loader import Loaded, load_recogniser
from steno.backends.qwen.options import LoadOptions
from steno.backends.qwen.prompt import MAX_CONTEXT_TOKENS, Prompter
from steno.backends.qwen.text import Reader
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.backends.base import Progress
    from steno.types import Audio

WARM_UP_S = (1.0, 8.5)


class Machine:
    """Frontend, encoder and decoder around one checkpoint.

    Args:
        loaded: the checkpoint.
        slots: pieces decoded together.
        limit: tokens that a piece takes at most, prompt and text together.
    """

    def __init__(self, loaded: Loaded, slots: int, limit: int) -> None:
        self.device = loaded.device
        self.prompter = Prompter(loaded.processor)
        self.reader = Reader(loaded.processor)
        self.ends = _ends(loaded)
        self._frontend = Frontend(loaded.processor, loaded.device)
        self._encoder = Encoder(loaded.model.model)
        self._decoder = Decoder(loaded.model, slots, limit)

    @classmethod
    def load(cls, options: LoadOptions, slots: int, max_tokens: int, progress: Progress) -> Machine:
        """Raises ModelLoadError, SettingsError."""
        loaded = load_recogniser(options, progress)
        if options.quantize == "int8":
            from steno.backends.qwen.quantize import quantize

            quantize(loaded.model, loaded.device)
        return cls(loaded, slots, MAX_CONTEXT_TOKENS + max_tokens)

    @torch.inference_mode()
    def encode(self, clips: Sequence[Audio]) -> list[torch.Tensor]:
        """16 kHz samples → embeddings, shape [tokens, hidden] each."""
        return self._encoder.encode([self._frontend.mel(audio) for audio in clips])

    @torch.inference_mode()
    def prefill(self, rows: Sequence[tuple[int, torch.Tensor, str, str | None]]) -> list[Choice]:
        """(slot, embeddings, clean context, language or None) of each; returns their first tokens."""
        prompts = []
        for slot, audio, context, language in rows:
            before, after = self.prompter.around(context, language)
            prompts.append((slot, Prompt(before, audio, after)))
        return self._decoder.prefill(prompts)

    @torch.inference_mode()
    def decode(self, tokens: dict[int, int]) -> dict[int, Choice]:
        """A token more in each of the slots; returns the next of each."""
        return self._decoder.decode(tokens)

    def warm_up(self) -> None:
        """Run through everything once: libraries choose and allocate at the first call."""
        for seconds in WARM_UP_S:
            (audio,) = self.encode([like_speech(seconds)])
            ((token, _),) = self.prefill([(0, audio, "", None)])
            for _ in range(3):
                token = self.decode({0: token})[0][0]


def like_speech(seconds: float) -> Audio:
    """Noise in syllables: silence would leave paths out."""
    samples = round(seconds * SAMPLE_RATE)
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * np.arange(samples) / SAMPLE_RATE)
    noise = np.random.default_rng(0).standard_normal(samples)
    return np.asarray(0.05 * syllables * noise, np.float32)


def _ends(loaded: Loaded) -> frozenset[int]:
    ends = loaded.model.generation_config.eos_token_id
    if ends is None:
        ends = loaded.model.config.eos_token_id
    return frozenset([ends] if isinstance(ends, int) else ends)
