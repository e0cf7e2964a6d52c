from __future__ import annotations

import dataclasses

import pytest

from steno.backends import registry
from steno.backends.base import AsyncBackend, StepBackend
from steno.backends.registry import BackendOptions, BackendSpec
from steno.errors import BackendUnavailableError, SettingsError


def test_the_embedded_backend_can_always_run() -> None:
    assert registry.availability("sphinx").ok
    choice = registry.choose("sphinx")
    assert (choice.name, choice.reason) == ("sphinx", "it was asked for")
    assert choice.better is not None
    assert "Qwen3-ASR" in choice.better


def test_auto_says_what_it_passed_over_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = (
        BackendSpec("best", "steno.types", ("no_such_package",), "pip install best", ""),
        BackendSpec("hidden", "steno.types", (), "", "", auto=False),
        BackendSpec("future", "steno.backends.future.backend", (), "", ""),
        BackendSpec("good", "steno.types", ("json",), "", ""),
        BackendSpec("worse", "steno.types", (), "", ""),
    )
    monkeypatch.setattr(registry, "SPECS", specs)
    choice = registry.choose("auto")
    assert choice == registry.Choice(
        "good",
        "the best that can run here; best needs no_such_package: pip install best; "
        "future is not part of this version of steno yet",
    )


def test_auto_refuses_where_nothing_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "SPECS", (BackendSpec("best", "steno.types", ("no_such_package",), "pip x", ""),))
    with pytest.raises(BackendUnavailableError, match="no backend can run here: best needs no_such_package: pip x"):
        registry.choose("auto")


def test_a_backend_asked_for_by_name_is_never_replaced_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = BackendSpec("lacking", "steno.types", ("no_package_a", "no.package_b", "json"), "pip install it", "")
    monkeypatch.setattr(registry, "SPECS", (*registry.SPECS, lacking))
    message = "backend 'lacking' cannot run here: needs no_package_a and no.package_b: pip install it"
    with pytest.raises(BackendUnavailableError) as chosen:
        registry.choose("lacking")
    with pytest.raises(BackendUnavailableError) as created:
        registry.create("lacking", BackendOptions())
    assert chosen.value.message == created.value.message == message


@pytest.mark.parametrize("ask", [registry.choose, registry.availability])
def test_an_unknown_name_is_refused_with_the_known_ones(ask: object) -> None:
    assert callable(ask)
    with pytest.raises(SettingsError, match=r"there is no backend 'whisper'; known are auto, qwen, sphinx, vllm$"):
        ask("whisper")


@pytest.mark.parametrize("spec", [spec for spec in registry.SPECS if registry.availability(spec.name).ok], ids=str)
def test_whatever_can_run_is_made_and_is_what_it_says(spec: BackendSpec) -> None:
    backend = registry.create(spec.name, BackendOptions(workers=3))
    assert backend.name == spec.name
    assert isinstance(backend, AsyncBackend | StepBackend)
    assert backend.capabilities.max_audio_s >= 30


def test_the_scripted_backend_is_there_but_not_shown() -> None:
    assert registry.public_names() == ["qwen", "sphinx", "vllm"]
    assert registry.choose("scripted").name == "scripted"


def test_options_can_be_added_without_touching_the_factories() -> None:
    assert all(field.default is None for field in dataclasses.fields(BackendOptions))
