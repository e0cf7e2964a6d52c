from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from steno.backends import registry
from steno.backends.base import AsyncBackend, StepBackend
from steno.backends.registry import BackendOptions, BackendSpec
from steno.errors import BackendUnavailableError, SettingsError


def test_the_embedded_backend_can_always_run() -> None:
    assert registry.availability("sphinx").ok
    choice = registry.choose("sphinx")
    assert (choice.name, choice.reason) == ("sphinx", "it was requested")
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
    assert choice == registry.ChosenBackend(
        "good",
        "the best that can run here; best needs no_such_package: pip install best; "
        "future is not part of this version of steno",
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


@pytest.mark.parametrize(
    ("there", "lacks"),
    [([], "acoustic model"), (["en-us/en-us/mdef"], "language model"),
     (["en-us/en-us/mdef", "en-us/en-us.lm.bin"], "dictionary")],
)  # fmt: skip
def test_a_backend_without_its_model_cannot_run_and_only_the_log_knows_the_folder(
    there: list[str], lacks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: list[str]
) -> None:
    for part in there:
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / part).touch()
    monkeypatch.setenv("POCKETSPHINX_PATH", str(tmp_path))
    reason = f"lacks its {lacks}: unset POCKETSPHINX_PATH or correct it"
    assert registry.availability("sphinx") == registry.Availability(False, reason)
    assert len(logs) == 1
    assert f"lacks its {lacks}: {tmp_path}/en-us/" in logs[0]


QWEN_LIKE = BackendSpec(
    "qwen", "steno.types", (), "pip install qwen", "", not_for_auto="steno.backends.qwen.installed:not_for_auto"
)


@pytest.mark.parametrize(
    ("gpu", "model_id", "chosen"),
    [
        (False, None, "moonshine"),
        (True, None, "qwen"),
        (True, "moonshine-tiny-en", "moonshine"),
        (False, "Qwen/Qwen3-ASR-0.6B", "qwen"),
        (False, "/models/mine", "qwen"),
        (True, "pocketsphinx-en-us", "sphinx"),
        (False, "pocketsphinx-en-us", "sphinx"),
    ],
)
def test_auto_takes_qwen_where_it_is_fast_or_a_model_is_named(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, model_id: str | None, chosen: str
) -> None:
    monkeypatch.setattr(registry, "SPECS", (QWEN_LIKE, registry.spec_of("moonshine"), registry.spec_of("sphinx")))
    monkeypatch.setattr("steno.backends.qwen.model.device.has_gpu", lambda: gpu)
    assert registry.choose("auto", model_id).name == chosen
    assert registry.choose("qwen", model_id).name == "qwen"


def test_a_machine_without_a_gpu_is_told_how_to_have_qwen_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "SPECS", (QWEN_LIKE, registry.spec_of("moonshine")))
    monkeypatch.setattr("steno.backends.qwen.model.device.has_gpu", lambda: False)
    choice = registry.choose("auto")
    assert choice.reason == (
        "the best that can run here; qwen is slow without a GPU; to use it anyway, set ASR_BACKEND=qwen"
    )
    assert choice.better is not None
    assert "MODEL_ID=Qwen/Qwen3-ASR-0.6B" in choice.better


def test_a_damaged_installation_is_to_be_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pocketsphinx").mkdir()
    (tmp_path / "pocketsphinx" / "__init__.py").touch()
    monkeypatch.delenv("POCKETSPHINX_PATH", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "pocketsphinx", raising=False)
    assert registry.availability("sphinx").reason == (
        "lacks its acoustic model: pip install --force-reinstall pocketsphinx"
    )


def test_auto_passes_over_a_backend_without_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETSPHINX_PATH", "/nonexistent")
    monkeypatch.setattr(registry, "SPECS", (registry.spec_of("sphinx"),))
    with pytest.raises(BackendUnavailableError, match="sphinx lacks its acoustic model"):
        registry.choose("auto")


def test_without_moonshine_s_wheel_auto_falls_back_to_sphinx_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = (QWEN_LIKE, registry.spec_of("moonshine"), registry.spec_of("sphinx"))
    monkeypatch.setattr(registry, "SPECS", specs)
    monkeypatch.setattr("steno.backends.qwen.model.device.has_gpu", lambda: False)
    monkeypatch.setattr("steno.backends.moonshine.installed.find_wheel", lambda path: None)
    choice = registry.choose("auto")
    assert choice.name == "sphinx"
    assert "moonshine needs moonshine-voice==0.1.0" in choice.reason
    assert "pip install 'steno[moonshine]'" in (choice.better or "")


MISFIT = "MODEL_ID='Qwen/Qwen3-ASR-0.6B' is not supported by the sphinx backend; unset it"


@pytest.mark.parametrize(
    ("module", "requires", "advice"),
    [
        ("steno.types", ("no_such_package",), ", or for a Qwen3-ASR model pip install qwen and set ASR_BACKEND=qwen"),
        ("steno.types", (), ", or for a Qwen3-ASR model set ASR_BACKEND=qwen"),
    ],
)
def test_a_model_that_the_backend_cannot_serve_is_refused_with_what_to_do(
    module: str, requires: tuple[str, ...], advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = (BackendSpec("qwen", module, requires, "pip install qwen", ""), registry.spec_of("sphinx"))
    monkeypatch.setattr(registry, "SPECS", specs)
    with pytest.raises(SettingsError) as refused:
        registry.create("sphinx", BackendOptions(model_id="Qwen/Qwen3-ASR-0.6B"))
    assert refused.value.message == MISFIT + advice
    assert refused.value.param == "MODEL_ID"


def test_the_embedded_model_may_be_asked_for_by_its_name() -> None:
    backend = registry.create("sphinx", BackendOptions(model_id="pocketsphinx-en-us"))
    assert registry.spec_of("sphinx").models == (backend.model_id,)


@pytest.mark.parametrize("ask", [registry.choose, registry.availability])
def test_an_unknown_name_is_refused_with_the_known_ones(ask: object) -> None:
    assert callable(ask)
    with pytest.raises(
        SettingsError, match="invalid value 'whisper' for ASR_BACKEND; expected one of auto, qwen, moonshine, sphinx, v"
    ):
        ask("whisper")


@pytest.mark.parametrize("spec", [spec for spec in registry.SPECS if registry.availability(spec.name).ok], ids=str)
def test_whatever_can_run_is_made_and_is_what_it_says(spec: BackendSpec) -> None:
    backend = registry.create(spec.name, BackendOptions(workers=3, vllm_urls=("http://a:8000",)))
    assert backend.name == spec.name
    assert isinstance(backend, AsyncBackend | StepBackend)
    assert backend.capabilities.max_audio_s >= 30


def test_the_scripted_backend_is_there_but_not_shown() -> None:
    assert registry.public_names() == ["qwen", "moonshine", "sphinx", "vllm", "vllm-remote"]
    assert registry.choose("scripted").name == "scripted"


def test_options_can_be_added_without_touching_the_factories() -> None:
    assert all(field.default is not dataclasses.MISSING for field in dataclasses.fields(BackendOptions))
