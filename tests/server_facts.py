"""The facts about a server that a dialect is given, without a server."""

from __future__ import annotations

from functools import partial

from steno.backends.base import Capabilities
from steno.backends.scripted import ScriptedBackend
from steno.errors import UnknownModelError
from steno.pipelines.live.live_options import check
from steno.server.live.dialects.base import ServerFacts

ANY = ScriptedBackend.capabilities
"""Takes hot words, speaks every language."""
ENGLISH = Capabilities(
    languages=frozenset({"en"}),
    live=True,
    word_times=True,
    context=False,
    max_audio_s=None,
)
SERVED = ("base-model", "nova-2", "nova-3", "nova-3-served")


def server_facts(capabilities: Capabilities = ANY, served: tuple[str, ...] = SERVED) -> ServerFacts:
    """`served`: names of the model `base-model`."""

    def check_model(model: str | None) -> str:
        if model is None or model in served:
            return "base-model"
        raise UnknownModelError(f"model {model!r} is not served here", param="model")

    return ServerFacts(
        session_id="session",
        model_id="base-model",
        max_segment_s=30.0,
        check=partial(check, capabilities=capabilities, backend="test", can_translate=False),
        check_model=check_model,
    )
