"""Moonshine's two ONNX models: an encoder over samples, and a decoder with a KV cache.

Tensors as in moonshine-voice 0.1.0 and in Hugging Face's ONNX export (`encoder_model`, `decoder_model_merged`); the
numbers of layers and heads are read from the decoder. One `MoonshineModel` serves many threads: ONNX Runtime's
sessions are thread-safe and release the GIL while they run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from steno.backends.moonshine.vocabulary import BOS, EOS, Vocabulary
from steno.errors import ModelLoadError

if TYPE_CHECKING:
    import onnxruntime as ort

    from steno.backends.moonshine.files import ModelFiles
    from steno.types import Audio

Tensors = dict[str, NDArray[Any]]

SHRINK_ARENA_KEY = "memory.enable_memory_arena_shrinkage"
"""Run option that frees memory after each run; ONNX Runtime otherwise keeps it, 150 MB for 30 s of audio. It costs 10 %
of the encoder's time."""


class CancelledRunError(Exception):
    """The run was cancelled by `Cancellation.cancel`."""


class Cancellation:
    """Aborts the ONNX Runtime call of one thread from another. Made by `MoonshineModel.cancellation`."""

    def __init__(self, options: ort.RunOptions) -> None:
        self.options = options
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True
        self.options.terminate = True

    def check(self) -> None:
        """Raises CancelledRunError."""
        if self.is_cancelled:
            raise CancelledRunError


class MoonshineModel:
    """The loaded sessions.

    Raises:
        ModelLoadError: a file is not an ONNX model, or not one of Moonshine's.
    """

    def __init__(self, files: ModelFiles) -> None:
        self._encoder = _session(files.encoder)
        self._decoder = _session(files.decoder)
        self._takes_mask = "attention_mask" in {tensor.name for tensor in self._encoder.get_inputs()}
        inputs = {tensor.name: tensor.shape for tensor in self._decoder.get_inputs()}
        pasts = {name: shape for name, shape in inputs.items() if name.startswith("past_key_values.")}
        if not pasts or "use_cache_branch" not in inputs:
            raise ModelLoadError(f"{files.decoder.name} is not Moonshine's merged decoder: it has no KV cache")
        self._takes_encoder_mask = "encoder_attention_mask" in inputs
        self._empty = {name: np.zeros((1, shape[1], 0, shape[3]), np.float32) for name, shape in pasts.items()}
        self._presents = [tensor.name.replace("present", "past_key_values") for tensor in self._decoder.get_outputs()]

    def cancellation(self) -> Cancellation:
        """A cancellation for one `start` and its `DecoderState.extend` calls."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.add_run_config_entry(SHRINK_ARENA_KEY, "cpu:0")
        options.log_severity_level = 4  # otherwise each cancelled run writes an error to stderr
        return Cancellation(options)

    def start(self, audio: Audio, cancellation: Cancellation) -> DecoderState:
        """Encode `audio` (float32, mono, 16 kHz). Raises CancelledRunError."""
        mask = np.ones((1, len(audio)), np.int64)
        inputs: Tensors = {"input_values": audio[None]}
        if self._takes_mask:
            inputs["attention_mask"] = mask
        (hidden,) = _run(self._encoder, inputs, cancellation)
        constant: Tensors = {"encoder_hidden_states": hidden}
        if self._takes_encoder_mask:
            constant["encoder_attention_mask"] = mask
        return DecoderState(self, constant, cancellation)

    def decode(self, inputs: Tensors, past: Tensors | None, cancellation: Cancellation) -> tuple[NDArray[Any], Tensors]:
        """One pass of the decoder: logits, shape [tokens, vocabulary], and the keys and values after it."""
        branch = {"use_cache_branch": np.array([past is not None])}
        logits, *presents = _run(self._decoder, {**inputs, **branch, **(past or self._empty)}, cancellation)
        return logits[0], dict(zip(self._presents[1:], presents, strict=True))


class DecoderState:
    """The KV cache of one decoding. Not thread-safe."""

    def __init__(self, model: MoonshineModel, constant: Tensors, cancellation: Cancellation) -> None:
        self._model = model
        self._constant = constant
        self._cancellation = cancellation
        self._cross: Tensors = {}
        """Cross-attention keys and values of the audio: computed in the first pass, reused in later ones."""
        self._self: Tensors | None = None
        self._length = 0

    @property
    def audio_states(self) -> NDArray[np.float32]:
        """The encoder's output. Shape [frames, width]."""
        states: NDArray[np.float32] = self._constant["encoder_hidden_states"][0]
        return states

    def extend(self, tokens: list[int]) -> NDArray[np.float32]:
        """Append `tokens`. Returns logits, shape [len(tokens), vocabulary]: row i predicts what follows `tokens[i]`.

        Raises CancelledRunError.
        """
        ids = np.array([tokens], np.int64)
        past = None if self._self is None else {**self._self, **self._cross}
        logits, presents = self._model.decode({"input_ids": ids, **self._constant}, past, self._cancellation)
        if past is None:
            self._cross = {name: value for name, value in presents.items() if ".encoder." in name}
        self._self = {name: value for name, value in presents.items() if ".decoder." in name}
        self._length += len(tokens)
        return np.asarray(logits, np.float32)

    def rewind(self, tokens: int) -> None:
        """Drop the last `tokens`."""
        if not tokens:
            return
        assert self._self is not None
        self._length -= tokens
        self._self = {name: value[:, :, : self._length] for name, value in self._self.items()}


def warm_up(model: MoonshineModel, vocabulary: Vocabulary) -> None:
    """Run both models once, on 1 s of noise: the first run allocates memory.

    Raises:
        ModelLoadError: the two models, or the decoder and the vocabulary, do not match.
    """
    noise = np.random.default_rng(0).normal(0, 0.01, 16_000).astype(np.float32)
    try:
        state = model.start(noise, model.cancellation())
        logits = state.extend([BOS])
        state.extend([EOS])
    except Exception as error:
        logger.error("Moonshine's encoder and decoder do not work together: {}", error)
        raise ModelLoadError("Moonshine's encoder and decoder do not work together; the log has the reason") from error
    if logits.ndim != 2 or logits.shape[1] != len(vocabulary):
        raise ModelLoadError(f"the decoder has {logits.shape[-1]} tokens, but the tokenizer has {len(vocabulary)}")


def _session(file: Path) -> ort.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # lengths differ between calls
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        logger.error("{} cannot be loaded: {}", file, error)
        raise ModelLoadError(f"{file.name} cannot be loaded by ONNX Runtime; the log has the reason") from error


def _run(session: ort.InferenceSession, inputs: Tensors, cancellation: Cancellation) -> list[Any]:
    cancellation.check()
    try:
        outputs: list[Any] = session.run(None, inputs, cancellation.options)
    except Exception:
        cancellation.check()
        raise
    return outputs
