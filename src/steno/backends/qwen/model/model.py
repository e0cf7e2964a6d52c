"""A loaded recogniser: every part of it, from samples to tokens, under one name. Gone with the last use of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint, load_recogniser
from steno.backends.qwen.engine_options import EngineOptions, LoadOptions
from steno.backends.qwen.model import memory_plan
from steno.backends.qwen.model.audio_state import AudioState
from steno.backends.qwen.model.cuda.graphs import GraphedStep
from steno.backends.qwen.model.cuda.stream import CudaStream
from steno.backends.qwen.model.decoder import Block, Decoder, PrefillRequest, SampledToken
from steno.backends.qwen.model.encoder import Encoder
from steno.backends.qwen.model.frontend import Frontend
from steno.backends.qwen.model.kv_cache import bytes_per_slot
from steno.backends.qwen.model.memory_usage import weight_bytes
from steno.backends.qwen3_asr.output import OutputParser
from steno.backends.qwen3_asr.prompt import MAX_CONTEXT_TOKENS, Ids, PromptBuilder
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.backends.base import Progress
    from steno.types import Audio

WARM_UP_S = (1.0, 8.5)


class AsrModel:
    """Frontend, encoder and decoder around one checkpoint.

    Args:
        loaded: the checkpoint.
        slots: pieces decoded together.
        limit: tokens that a piece takes at most, prompt and text together.
    """

    def __init__(self, loaded: LoadedCheckpoint, slots: int, limit: int) -> None:
        self.device = loaded.device
        self.model_id = loaded.source.model_id
        self._vocabulary: dict[str, int] = loaded.processor.tokenizer.get_vocab()
        self.prompter = PromptBuilder(loaded.processor)
        self.reader = OutputParser(loaded.processor)
        self.ends = _ends(loaded)
        self.slots = slots
        self.weight_bytes = weight_bytes(loaded.model)
        self.cache_bytes = slots * slot_bytes(loaded, limit)
        """What the slots take when all have grown to their limit."""
        self._encoder = Encoder(loaded.model.model, Frontend(loaded.processor, loaded.device))
        self._decoder = Decoder(loaded.model, slots, limit)
        self._on_stream = CudaStream(loaded.device)

    @classmethod
    def load(
        cls,
        options: LoadOptions,
        engine: EngineOptions,
        max_tokens: int,
        progress: Progress,
        share: memory_plan.MemoryShare,
    ) -> AsrModel:
        """With as many slots as were asked for, or as there is room for.

        Args:
            max_tokens: that a piece takes at most beside its context.

        Raises:
            ModelLoadError, SettingsError.
        """
        loaded = load_recogniser(options, progress)
        if options.quantize == "int8":
            from steno.backends.qwen.model.quantize import quantize

            quantize(loaded.model, loaded.device)
        limit = MAX_CONTEXT_TOKENS + max_tokens
        weights = weight_bytes(loaded.model)
        each = slot_bytes(loaded, limit)
        slots = memory_plan.slots(engine.slots, each, weights, loaded.device, engine.gpu_memory_mb, share)
        machine = cls(loaded, slots, limit)
        if engine.cuda_graphs:
            machine.use_graphs()
        return machine

    @property
    def graphs_failed(self) -> bool:
        """Whether decoding was to use CUDA graphs, and goes on without."""
        step = self._decoder.decoding
        return isinstance(step, GraphedStep) and step.has_failed

    def speaks_like(self, other: AsrModel) -> bool:
        """Whether a token of one means the same to the other."""
        return self._vocabulary == other._vocabulary

    def sound(self) -> AudioState:
        """A clip of which nothing has been heard yet."""
        return self._encoder.sound()

    @torch.inference_mode()
    def hear(self, sound: AudioState, audio: Audio) -> None:
        """See `AudioState.extend`."""
        with self._on_stream():
            sound.extend(audio)

    @torch.inference_mode()
    def encode(self, sounds: Sequence[AudioState], at_most: int | None = None) -> None:
        """What the sounds lack; no more than so many windows of eight seconds."""
        with self._on_stream():
            self._encoder.encode(sounds, at_most)

    @torch.inference_mode()
    def fill(self, fillings: Sequence[PrefillRequest]) -> list[list[SampledToken]]:
        """See `Decoder.fill`."""
        with self._on_stream():
            return self._decoder.fill(fillings)

    @torch.inference_mode()
    def extend(self, tokens: dict[int, Ids]) -> dict[int, list[SampledToken]]:
        """See `Decoder.extend`."""
        with self._on_stream():
            return self._decoder.extend(tokens)

    @torch.inference_mode()
    def decode(self, tokens: dict[int, int]) -> dict[int, SampledToken]:
        """A token more in each of the slots; returns the next of each."""
        with self._on_stream():
            return self._decoder.decode(tokens)

    def lacking(self, slot: int, blocks: Sequence[Block]) -> int:
        """Tokens of `blocks` that the slot does not hold yet."""
        return self._decoder.lacking(slot, blocks)

    def rewind(self, slot: int, tokens: int) -> None:
        """Take back the last tokens of a slot."""
        self._decoder.rewind(slot, tokens)

    def empty(self, slot: int) -> None:
        """Nothing in the slot is to be used again."""
        self._decoder.empty(slot)

    @torch.inference_mode()
    def wipe(self, slot: int) -> None:
        """After a failure: whatever lies in the slot, nobody must come upon it."""
        with self._on_stream():
            self._decoder.wipe(slot)

    @torch.inference_mode()
    def use_graphs(self) -> None:
        """See `Decoder.use_graphs`."""
        with self._on_stream():
            self._decoder.use_graphs()

    def warm_up(self) -> None:
        """Run through everything once: libraries choose and allocate at the first call."""
        before, after = self.prompter.around("", None)
        for seconds in WARM_UP_S:
            sound = self.sound()
            for part in (0.6, 1.0):
                self.hear(sound, like_speech(part * seconds))
                self.encode([sound])
                (choices,) = self.fill([PrefillRequest(0, [before, *sound.embeddings], after, after[:2])])
            token = choices[0].token
            self.rewind(0, 2)
            for _ in range(3):
                token = self.decode({0: token})[0].token
            self.extend({0: (token, token)})
        self.empty(0)


def like_speech(seconds: float) -> Audio:
    """Noise in syllables: silence would leave paths out."""
    samples = round(seconds * SAMPLE_RATE)
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * np.arange(samples) / SAMPLE_RATE)
    noise = np.random.default_rng(0).standard_normal(samples)
    return np.asarray(0.05 * syllables * noise, np.float32)


def slot_bytes(loaded: LoadedCheckpoint, limit: int) -> int:
    return bytes_per_slot(loaded.model.config.get_text_config(), limit, loaded.dtype.itemsize)


def _ends(loaded: LoadedCheckpoint) -> frozenset[int]:
    ends = loaded.model.generation_config.eos_token_id
    if ends is None:
        ends = loaded.model.config.eos_token_id
    return frozenset([ends] if isinstance(ends, int) else ends)
