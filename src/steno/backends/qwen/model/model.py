"""A loaded recogniser: prompt builder, encoder, decoder with its KV cache, and output parser around one checkpoint.

Each forward pass runs on the model's own CUDA stream, in inference mode. Memory is freed with the last reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from steno.backends.base import Accelerations
from steno.backends.drafts import Ids
from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint
from steno.backends.qwen.encoders.encoder_choice import audio_encoder_of, checked_encoder_file
from steno.backends.qwen.encoders.encoder_file import EncoderFile
from steno.backends.qwen.engine_options import EngineOptions, LoadOptions
from steno.backends.qwen.model import memory_plan
from steno.backends.qwen.model.audio_state import AudioState
from steno.backends.qwen.model.cuda.cuda_stream import CudaStream
from steno.backends.qwen.model.cuda.graphs import GraphedStep
from steno.backends.qwen.model.cuda.transfers import copy_to_device, copy_to_host
from steno.backends.qwen.model.decoder import Decoder, PrefillRequest
from steno.backends.qwen.model.encoder import Encoder
from steno.backends.qwen.model.memory_usage import weight_bytes
from steno.backends.qwen.model.precision import load_in_precision
from steno.backends.qwen.model.sampling import SampledToken
from steno.backends.qwen.model.slot_classes import SHORT_LENGTH, SlotClass
from steno.backends.qwen.model.slot_pool import bytes_per_slot
from steno.backends.qwen3_asr.frontend import Frontend
from steno.backends.qwen3_asr.log_mel import extend_all
from steno.backends.qwen3_asr.output import OutputParser
from steno.backends.qwen3_asr.prompt import MAX_CONTEXT_TOKENS, PromptBuilder
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.backends.base import Progress
    from steno.types import Audio

CHECK_LENGTH = 512
"""Tokens of the slot in which a quantised checkpoint is checked."""

WARM_UP_S = (1.0, 8.5)
"""Clip lengths: one window that is open, and one that is complete."""


class AsrModel:
    """Frontend, encoder and decoder around one checkpoint.

    Args:
        loaded: the checkpoint.
        classes: of the KV cache's slots, the shortest first.
        encoder_file: the encoder for another runtime; None = torch.
    """

    def __init__(
        self, loaded: LoadedCheckpoint, classes: Sequence[SlotClass], encoder_file: EncoderFile | None = None
    ) -> None:
        self.device = loaded.device
        self.model_id = loaded.source.model_id
        self._vocabulary: dict[str, int] = loaded.processor.tokenizer.get_vocab()
        self.prompt_builder = PromptBuilder(loaded.processor)
        self.output_parser = OutputParser(loaded.processor)
        self.stop_token_ids = _stop_token_ids(loaded)
        self.classes = list(classes)
        self._precision = loaded.precision
        self.weight_bytes = weight_bytes(loaded.model)
        self.cache_bytes = sum(slots * slot_bytes(loaded, length) for slots, length in classes)
        """Bytes of the KV cache when all slots have their full length."""
        frontend = Frontend(loaded.processor, loaded.device, copy_to_device, copy_to_host)
        self._on_stream = CudaStream(loaded.device)
        audio_encoder = audio_encoder_of(loaded, encoder_file, self._on_stream)
        self.encoder = Encoder(loaded.model.model, frontend, audio_encoder)
        self.decoder = Decoder(loaded.model, classes)

    @property
    def slots(self) -> int:
        """Max sequences in the KV cache."""
        return sum(one.slots for one in self.classes)

    @classmethod
    def load(
        cls,
        options: LoadOptions,
        engine: EngineOptions,
        max_tokens: int,
        progress: Progress,
        share: memory_plan.MemoryShare,
    ) -> AsrModel:
        """Load a checkpoint, with as many of the requested slots as fit into memory.

        Args:
            max_tokens: max tokens per long slot, without the context.

        Raises:
            ModelLoadError, SettingsError.
        """
        loaded = load_in_precision(options, progress, lambda checkpoint: cls(checkpoint, [SlotClass(1, CHECK_LENGTH)]))
        encoder_file = None if engine.encoder is None else checked_encoder_file(loaded, engine.encoder)
        max_length = MAX_CONTEXT_TOKENS + max_tokens
        weight_size = weight_bytes(loaded.model) + (0 if encoder_file is None else encoder_file.size_bytes)
        sizes = memory_plan.SlotSizes(slot_bytes(loaded, SHORT_LENGTH), slot_bytes(loaded, max_length))
        counts = memory_plan.fitting_slots(
            engine.slot_counts, sizes, weight_size, loaded.device, engine.gpu_memory_mb, share
        )
        model = cls(loaded, counts.classes(max_length), encoder_file)
        if engine.cuda_graphs:
            model.use_graphs()
        return model

    @property
    def accelerations(self) -> Accelerations:
        """How the model runs now."""
        step = self.decoder.decode_step
        return Accelerations(
            encoder=self.encoder.audio_encoder.runtime,
            precision=self._precision,
            cuda_graphs=isinstance(step, GraphedStep) and not step.has_failed,
        )

    def shares_vocabulary(self, other: AsrModel) -> bool:
        """Whether both models have the same tokens, so that one can verify the other's drafts."""
        return self._vocabulary == other._vocabulary

    @torch.inference_mode()
    def extend_audio(self, clips: Sequence[tuple[AudioState, Audio]]) -> None:
        """`extend_all`, on this model's CUDA stream."""
        with self._on_stream():
            extend_all(clips)

    @torch.inference_mode()
    def encode(self, states: Sequence[AudioState], max_windows: int | None = None) -> None:
        """`Encoder.encode`, on this model's CUDA stream."""
        with self._on_stream():
            self.encoder.encode(states, max_windows)

    @torch.inference_mode()
    def prefill(self, requests: Sequence[PrefillRequest]) -> list[list[SampledToken]]:
        """`Decoder.prefill`, on this model's CUDA stream."""
        with self._on_stream():
            return self.decoder.prefill(requests)

    @torch.inference_mode()
    def verify(self, tokens: dict[int, Ids]) -> dict[int, list[SampledToken]]:
        """`Decoder.verify`, on this model's CUDA stream."""
        with self._on_stream():
            return self.decoder.verify(tokens)

    @torch.inference_mode()
    def decode(self, tokens: dict[int, int]) -> dict[int, SampledToken]:
        """`Decoder.decode`, on this model's CUDA stream."""
        with self._on_stream():
            return self.decoder.decode(tokens)

    @torch.inference_mode()
    def move_slot(self, source: int, target: int) -> None:
        """`Decoder.move_slot`, on this model's CUDA stream."""
        with self._on_stream():
            self.decoder.move_slot(source, target)

    @torch.inference_mode()
    def zero_slot(self, slot: int) -> None:
        """`Decoder.zero_slot`, on this model's CUDA stream."""
        with self._on_stream():
            self.decoder.zero_slot(slot)

    @torch.inference_mode()
    def use_graphs(self) -> None:
        """`Decoder.use_graphs`, on this model's CUDA stream."""
        with self._on_stream():
            self.decoder.use_graphs()

    def warm_up(self) -> None:
        """Run every kind of step once: libraries choose kernels and allocate memory at the first call."""
        before, after = self.prompt_builder.around("", None)
        for seconds in WARM_UP_S:
            state = self.encoder.new_audio_state()
            for part in (0.6, 1.0):
                self.extend_audio([(state, warm_up_audio(part * seconds))])
                self.encode([state])
                (sampled,) = self.prefill([PrefillRequest(0, [before, *state.embeddings], after, after[:2])])
            token = sampled[0].token
            self.decoder.rewind(0, 2)
            for _ in range(3):
                token = self.decode({0: token})[0].token
            self.verify({0: (token, token)})
        self.decoder.reset_slot(0)


def warm_up_audio(seconds: float) -> Audio:
    """Noise with the envelope of syllables: silence would leave code paths cold."""
    samples = round(seconds * SAMPLE_RATE)
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * np.arange(samples) / SAMPLE_RATE)
    noise = np.random.default_rng(0).standard_normal(samples)
    return np.asarray(0.05 * syllables * noise, np.float32)


def slot_bytes(loaded: LoadedCheckpoint, max_length: int) -> int:
    return bytes_per_slot(loaded.model.config.get_text_config(), max_length, loaded.dtype.itemsize)


def _stop_token_ids(loaded: LoadedCheckpoint) -> frozenset[int]:
    stop_token_ids = loaded.model.generation_config.eos_token_id
    if stop_token_ids is None:
        stop_token_ids = loaded.model.config.eos_token_id
    return frozenset([stop_token_ids] if isinstance(stop_token_ids, int) else stop_token_ids)
