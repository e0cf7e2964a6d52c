"""The wire of vLLM's generate endpoint: token ids and feature windows in, token ids out. Sans-IO.

Read: vLLM 0.32, `vllm/entrypoints/scale_out/token_in_token_out` and `vllm/v1/serial_utils.py`. A window travels as a
`MultiModalKwargsItem` in MessagePack, whose tensors are (dtype, shape, bytes as extension type 3), in base64. One that
the server has cached travels as null: its hash is enough.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Container
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from steno.backends.qwen3_asr.log_mel import WINDOW, tokens_of
from steno.backends.repetition import ENDLESS_REPEATS, MAX_NGRAM
from steno.backends.vllm.server_errors import ServerFailedError
from steno.backends.vllm.token_generator import Generation, VllmPriority

if TYPE_CHECKING:
    import torch

    from steno.backends.vllm.token_generator import FeatureWindow, TokenRequest

GENERATE = "/inference/v1/generate"
HASH_BYTES = 16
RAW_TENSOR = 3
"""vLLM's extension type for the bytes of a tensor."""


@dataclass(frozen=True, slots=True, eq=False)
class HashedRequest:
    """A request with the hashes of its windows: what any server of the pool can be sent."""

    request: TokenRequest
    hashes: tuple[str, ...]

    @property
    def utterance(self) -> str | None:
        return self.request.work.utterance


def hashed(request: TokenRequest) -> HashedRequest:
    """Hash the windows; takes about a millisecond."""
    return HashedRequest(request, tuple(_hash_of(window) for window in request.windows))


class GenerateWire:
    """Writes and reads the messages for one checkpoint.

    Args:
        vocabulary: token ids are below it.
    """

    def __init__(self, audio_token_id: int, stop_token_ids: frozenset[int], vocabulary: int) -> None:
        self.audio_token_id = audio_token_id
        self._stop_token_ids = sorted(stop_token_ids)
        self._vocabulary = vocabulary

    def body(self, hashed: HashedRequest, model: str, known: Container[str], *, priorities: bool) -> bytes:
        """A request's body; takes milliseconds.

        Args:
            model: the served name.
            known: hashes of the windows that the server has cached.
            priorities: whether the server schedules by priority.
        """
        request = hashed.request
        token_ids = list(request.before)
        placeholders = []
        for window in request.windows:
            length = tokens_of(window.frames)
            placeholders.append({"offset": len(token_ids), "length": length})
            token_ids += [self.audio_token_id] * length
        token_ids += request.after
        pairs = zip(hashed.hashes, request.windows, strict=True)
        features = {
            "mm_hashes": {"audio": hashed.hashes},
            "mm_placeholders": {"audio": placeholders},
            "kwargs_data": {"audio": [None if hash_ in known else _item(window) for hash_, window in pairs]},
        }
        priority = request.priority if priorities else VllmPriority.LIVE_FINAL
        return _encoded({**self._message(model, token_ids, request.max_tokens, priority), "features": features})

    def probe(self, model: str, priority: VllmPriority) -> bytes:
        """The smallest request: one token behind a stop token."""
        return _encoded(self._message(model, self._stop_token_ids[:1], 1, priority))

    def read(self, answer: bytes, max_tokens: int) -> Generation:
        """
        Raises:
            ServerFailedError: it is not what was asked for.
        """
        try:
            choice = msgspec.json.decode(answer, type=_Answer).choices[0]
        except (msgspec.MsgspecError, UnicodeDecodeError, IndexError) as error:
            raise ServerFailedError(f"answered with something else than tokens: {error}") from None
        if choice.finish_reason == "abort":
            raise ServerFailedError("aborted the request")
        tokens, logprobs = tuple(choice.token_ids), tuple(each.logprob for each in choice.logprobs.content)
        if len(tokens) != len(logprobs) or len(tokens) > max_tokens:
            text = f"answered with {len(tokens)} tokens and {len(logprobs)} log-probabilities; max tokens: {max_tokens}"
            raise ServerFailedError(text)
        if not all(0 <= token < self._vocabulary for token in tokens) or not all(map(math.isfinite, logprobs)):
            raise ServerFailedError("answered with tokens that the checkpoint does not have")
        return Generation(tokens, tuple(min(logprob, 0.0) for logprob in logprobs))

    def _message(self, model: str, token_ids: list[int], max_tokens: int, priority: VllmPriority) -> dict[str, Any]:
        return {
            "model": model,
            "token_ids": token_ids,
            "sampling_params": {
                "temperature": 0.0,
                "max_tokens": max_tokens,
                "logprobs": 0,
                "stop_token_ids": self._stop_token_ids,
                "detokenize": False,
                "repetition_detection": {
                    "max_pattern_size": MAX_NGRAM,
                    "min_pattern_size": 1,
                    "min_count": ENDLESS_REPEATS,
                },
            },
            "priority": int(priority),
        }


class _Logprob(msgspec.Struct):
    logprob: float


class _Logprobs(msgspec.Struct):
    content: list[_Logprob]


class _Choice(msgspec.Struct):
    token_ids: list[int]
    logprobs: _Logprobs
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]


def _hash_of(window: FeatureWindow) -> str:
    data = window.features.contiguous().numpy().tobytes()
    return hashlib.blake2b(data, digest_size=HASH_BYTES).hexdigest()


def _item(window: FeatureWindow) -> str:
    """The audio item of a window: features, length and mask, as the model's own processor names them."""
    import torch

    frames = window.frames
    mask = torch.zeros(WINDOW, dtype=torch.long)
    mask[:frames] = 1
    whole = [[None, None, None], [0, frames, None]]
    batched = ("batched", {"keep_on_cpu": True})
    item = {
        "input_audio_features": {
            "data": _tensor(window.features),
            "field": ("flat", {"keep_on_cpu": False, "slices": [whole], "dim": 1}),
        },
        "audio_feature_lengths": {"data": _tensor(torch.tensor(frames)), "field": batched},
        "feature_attention_mask": {"data": _tensor(mask), "field": batched},
    }
    return base64.b64encode(msgspec.msgpack.encode(item)).decode()


def _tensor(tensor: torch.Tensor) -> tuple[str, list[int], msgspec.msgpack.Ext]:
    array = tensor.contiguous().numpy()
    return str(array.dtype), list(array.shape), msgspec.msgpack.Ext(RAW_TENSOR, array.tobytes())


def _encoded(message: dict[str, Any]) -> bytes:
    return msgspec.json.encode(message)
