"""What the settings may ask of the remote backend, and what it is before it is loaded."""

from __future__ import annotations

from typing import Any

import pytest

from steno.backends.base import ServerStatus, UsesServers
from steno.backends.registry import BackendOptions, create
from steno.errors import SettingsError

URLS = ("http://a:8000", "http://b:8000")


@pytest.mark.parametrize(
    ("option", "param"),
    [
        ({"quantize": "fp8"}, "QUANTIZE"),
        ({"gpu_memory_mb": 9000}, "GPU_MEMORY_MB"),
        ({"vllm_sleep_level": 1}, "VLLM_SLEEP_LEVEL"),
        ({"vllm_args": '{"max_num_seqs": 4}'}, "VLLM_ARGS"),
        ({"speculative": True}, "USE_SPECULATIVE"),
        ({"dual": True}, "DUAL_MODEL"),
        ({"vllm_urls": ()}, "VLLM_BASE_URL"),
    ],
)
def test_settings_that_only_the_servers_have_are_refused_by_name(option: dict[str, Any], param: str) -> None:
    with pytest.raises(SettingsError, match=param) as refused:
        create("vllm-remote", BackendOptions(**{"vllm_urls": URLS, **option}))
    assert refused.value.param == param


@pytest.mark.parametrize(("slots", "calls"), [(None, 128), (12, 12)])
def test_each_server_gets_64_requests_at_once_unless_max_slots_is_set(slots: int | None, calls: int) -> None:
    backend: Any = create("vllm-remote", BackendOptions(vllm_urls=URLS, slots=slots))
    assert backend.workers + backend.live_workers == calls


def test_before_loading_the_servers_are_named_and_not_up() -> None:
    backend = create("vllm-remote", BackendOptions(vllm_urls=URLS, vllm_api_key="secret"))
    assert isinstance(backend, UsesServers)
    assert (backend.path, backend.failovers, backend.device) == ("vllm-remote", 0, "remote")
    assert backend.servers() == [
        ServerStatus(url, False, None, 0, "was not checked yet", is_checked=False) for url in URLS
    ]


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(BackendOptions(vllm_api_key="secret"))
