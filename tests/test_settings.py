from __future__ import annotations

from pathlib import Path

import pytest

from steno import settings, settings_reference
from steno.errors import SettingsError
from steno.settings import Settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_nothing_set_gives_the_defaults() -> None:
    chosen = settings.load()
    assert (chosen.host, chosen.port, chosen.backend, chosen.api_keys) == ("127.0.0.1", 8000, "auto", ())


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("PORT", "99999", "PORT='99999': Input should be less than or equal to 65535"),
        ("PORT", "eighty", "PORT='eighty': Input should be a valid integer"),
        ("IDLE_TIMEOUT", "-1", "IDLE_TIMEOUT='-1': Input should be greater than or equal to 0"),
        ("ASR_BACKEND", "whisper", "ASR_BACKEND='whisper': Input should be 'auto', 'qwen', 'moonshine', 'sphinx'"),
        ("USE_GRANIAN", "perhaps", "USE_GRANIAN='perhaps': Input should be a valid boolean"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL='LOUD': Input should be 'TRACE', 'DEBUG'"),
        ("SSL_CERTFILE", "/tmp/c.pem", "SSL_CERTFILE and SSL_KEYFILE must be set together"),
    ],
)
def test_a_bad_value_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, complaint: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        settings.load()
    assert complaint in caught.value.message


def test_all_bad_values_are_named_at_once_and_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "x")
    monkeypatch.setenv("MAX_QUEUE", "y")
    monkeypatch.setenv("API_KEYS", "my secret")
    with pytest.raises(SettingsError) as caught:
        settings.load()
    lines = caught.value.message.splitlines()
    assert sorted(line.partition("=")[0].partition(":")[0] for line in lines) == ["API_KEYS", "MAX_QUEUE", "PORT"]
    assert "secret" not in caught.value.message


def test_options_win_over_the_environment_and_absent_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1234")
    assert settings.load(port=None).port == 1234
    assert settings.load(port=4321).port == 4321


def test_lists_are_comma_separated_and_empty_means_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_ALIASES", " a, b ,,c")
    monkeypatch.setenv("API_KEYS", "")
    chosen = settings.load()
    assert chosen.model_aliases == ("a", "b", "c")
    assert chosen.api_keys == ()


def test_use_vllm_means_the_backend_and_contradictions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USE_VLLM", "true")
    assert settings.load().backend == "vllm"
    monkeypatch.setenv("ASR_BACKEND", "sphinx")
    with pytest.raises(SettingsError, match="USE_VLLM=true contradicts ASR_BACKEND=sphinx"):
        settings.load()


def test_addresses_of_vllm_servers_mean_the_remote_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_BASE_URL", "http://a:8000, https://b/proxy/v1/,http://[::1]:9/")
    monkeypatch.setenv("VLLM_API_KEY", "sk-hidden")
    chosen = settings.load()
    assert chosen.vllm_base_url == ("http://a:8000", "https://b/proxy", "http://[::1]:9")
    assert "sk-hidden" not in repr(chosen)
    for name in ("auto", "vllm", "vllm-remote"):
        assert settings.load(asr_backend=name).backend == "vllm-remote"
        assert settings.load(asr_backend=name, use_vllm=True).backend == "vllm-remote"
    with pytest.raises(SettingsError, match="VLLM_BASE_URL contradicts ASR_BACKEND=qwen"):
        settings.load(asr_backend="qwen")
    monkeypatch.delenv("VLLM_BASE_URL")
    with pytest.raises(SettingsError, match="ASR_BACKEND=vllm-remote needs VLLM_BASE_URL"):
        settings.load(asr_backend="vllm-remote")


@pytest.mark.parametrize(
    ("urls", "complaint"),
    [
        ("a:8000", "must be URLs such as http://host:8000, comma-separated"),
        ("ftp://a", "must be URLs such as http://host:8000, comma-separated"),
        ("http://a:x", "one of the URLs is not valid; expected URLs such as http://host:8000"),
        ("http://a:70000", "one of the URLs is not valid; expected URLs such as http://host:8000"),
        ("http://me:hunter2@a", "the URL of a has credentials; set VLLM_API_KEY instead"),
        ("http://a/v1?key=hunter2", "the URL of a must end after the port, /v1 or a plain path prefix"),
        ("http://a/../b", "the URL of a must end after the port, /v1 or a plain path prefix"),
        ("http://a,http://a/v1", "one server is named twice"),
    ],
)
def test_addresses_that_are_not_plain_are_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, urls: str, complaint: str
) -> None:
    monkeypatch.setenv("VLLM_BASE_URL", urls)
    with pytest.raises(SettingsError) as refused:
        settings.load()
    assert refused.value.message == f"VLLM_BASE_URL: {complaint}"


def test_one_runtime_encodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRT_ENCODER_PATH", "/encoder.engine")
    assert settings.load().trt_encoder_path == Path("/encoder.engine")
    monkeypatch.setenv("ONNX_ENCODER_PATH", "/encoder.onnx")
    with pytest.raises(SettingsError, match="ONNX_ENCODER_PATH and TRT_ENCODER_PATH are both set"):
        settings.load()


def test_an_unknown_quantisation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTIZE", "int3")
    with pytest.raises(SettingsError, match="QUANTIZE='int3'"):
        settings.load()


@pytest.mark.parametrize(
    ("host", "public"),
    [("127.0.0.1", False), ("::1", False), ("localhost", False), ("0.0.0.0", True), ("10.1.2.3", True), ("box", True)],
)
def test_it_knows_whether_others_can_reach_it(host: str, public: bool) -> None:
    assert settings.load(host=host).is_public is public


def test_every_setting_has_a_group_and_a_description() -> None:
    listed = settings_reference.table()
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert f"| `{name.upper()}` |" in listed


def test_the_documentation_of_the_settings_is_current() -> None:
    docs = Path(__file__).parent.parent / "docs"
    namespace: dict[str, object] = {"__file__": str(docs / "generate.py"), "__name__": "generate"}
    exec((docs / "generate.py").read_text(encoding="utf-8"), namespace)
    page = namespace["settings_page"]
    assert callable(page)
    assert (docs / "settings.md").read_text(encoding="utf-8") == page(), "run `make docs`"


@pytest.mark.parametrize("device", ["auto", "cpu", "mps", "cuda", "cuda:3"])
def test_devices_are_known_by_torch_s_names(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setenv("DEVICE", device)
    assert settings.load().device == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cpu:0", "CUDA", "cuda:0,1"])
def test_other_devices_are_refused_with_the_known_ones(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setenv("DEVICE", device)
    with pytest.raises(SettingsError) as refused:
        settings.load()
    assert refused.value.message == f"DEVICE='{device}': must be auto, cpu, mps, cuda or cuda:N"


def test_the_qwen_backend_s_settings_are_acted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "MODEL_REVISION": "main", "MODEL_ALLOWLIST": "Qwen/*,me/*", "FORCED_ALIGNER_ID": "/aligner",
        "ALIGN_PIECE_S": "20", "QUANTIZE": "int8", "MAX_SLOTS": "8", "DEVICE": "cpu", "DTYPE": "bfloat16",
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    chosen = settings.load()
    assert (chosen.quantize, chosen.max_slots, chosen.device, chosen.dtype) == ("int8", 8, "cpu", "bfloat16")
    assert (chosen.model_allowlist, chosen.align_piece_s) == (("Qwen/*", "me/*"), 20)
