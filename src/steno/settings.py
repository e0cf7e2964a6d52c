"""The environment, read once and checked once.

`cli`, `compose` and `server/app.py` alone read this; lower layers get values.
Every variable has its description here; `settings_reference` makes `steno serve --help` and `docs/settings.md` from it.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from steno.errors import SettingsError

Group = Literal["Server", "Limits", "Model", "Live", "Subtitles", "Translation", "Qwen engine", "Logs"]
Names = Annotated[tuple[str, ...], NoDecode]
"""Written as `a,b,c` in the environment."""

DEFAULT_ALIASES = (
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-transcribe",
    "gpt-live-transcribe",
    "gpt-realtime-whisper",
    "whisper-large-v3",
    "whisper-large-v3-turbo",
    "nova-2",
    "nova-3",
)


def _field(group: Group, description: str, default: Any = ..., *, planned: bool = False, **checks: Any) -> Any:
    """A setting. `planned`: known and checked, but nothing in this version acts on it; setting it logs a warning."""
    return Field(default, description=description, json_schema_extra={"group": group, "planned": planned}, **checks)


class Settings(BaseSettings):
    """All of steno's environment variables. Field names are the variables' names in lower case."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True, protected_namespaces=())

    host: str = _field("Server", "Address to listen on. `0.0.0.0` opens the server to the network.", "127.0.0.1")
    port: int = _field("Server", "Port to listen on; 0 takes a free one.", 8000, ge=0, le=65535)
    ssl_certfile: Path | None = _field("Server", "TLS certificate (PEM); needs `SSL_KEYFILE`.", None)
    ssl_keyfile: Path | None = _field("Server", "TLS private key (PEM); needs `SSL_CERTFILE`.", None)
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = _field(
        "Server",
        "Keys that clients may use, comma-separated. Empty = open to everybody who can reach the port.",
        (),
    )
    root_path: str = _field(
        "Server",
        "Path below which a proxy serves this server, such as `/steno`; the proxy may take it off.",
        "",
    )
    allowed_origins: Names = _field(
        "Server",
        "Web pages that may use the server, as origins (`https://example.org`), comma-separated; `*` = all. "
        "Default: those of the server's own host, and those that bring a key. Without keys the server also answers "
        "only to addresses, to local names and to the names in here.",
        (),
    )
    use_granian: bool = _field("Server", "Serve with granian in place of uvicorn.", False)
    gateway_mode: bool = _field(
        "Server", "A light gateway owns the port and ends the worker when idle.", False, planned=True
    )
    numa_node: int | None = _field("Server", "Bind process and memory to this NUMA node.", None, planned=True, ge=0)
    drain_timeout: float = _field(
        "Server", "Seconds that running requests get to finish after SIGTERM.", 30.0, ge=0, le=3600
    )

    max_queue: int = _field(
        "Limits",
        "Requests that may wait for a place beyond those that run; more get a 429.",
        32,
        ge=0,
        le=10_000,
    )
    request_timeout: float = _field(
        "Limits", "Seconds a request may take in all, model loading included.", 600.0, gt=0, le=86_400
    )
    max_upload_mb: int = _field("Limits", "Largest upload, in MiB.", 1024, ge=1, le=1_000_000)
    max_uploads_per_client: int = _field(
        "Limits",
        "Uploads that one API key, or without keys one address, may send at once; more get a 429; 0 = any number.",
        32,
        ge=0,
        le=100_000,
    )
    max_audio_s: float = _field("Limits", "Longest recording, in seconds.", 4 * 3600.0, gt=0, le=7 * 86_400)
    max_decoders: int | None = _field(
        "Limits",
        "Recordings that are decoded at once, each by a process of about 25 MB; more wait. Default: four a core, 8 at "
        "least.",
        None,
        ge=1,
        le=1024,
    )
    max_live_decoders: int = _field(
        "Limits",
        "Live WebM and Ogg streams that are decoded at once, each by a process of about 25 MB; more are refused.",
        64,
        ge=1,
        le=10_000,
    )
    decoder_memory_mb: int = _field(
        "Limits",
        "Memory that decoding one recording or stream may take, in MiB, beyond that of an idle decoder (Linux).",
        512,
        ge=64,
        le=65_536,
    )
    decoder_cpu_s: int = _field(
        "Limits",
        "Seconds of CPU time after which a decoder that emits no audio is killed (Linux, macOS).",
        10,
        ge=1,
        le=600,
    )
    keep_alive_s: int = _field("Limits", "Seconds an idle HTTP connection is kept open.", 75, ge=1, le=3600)
    max_connections: int = _field(
        "Limits",
        "Connections open at once. An idle one gives way to a new one; where all are busy, a request gets a 503.",
        1000,
        ge=1,
        le=100_000,
    )

    max_sessions: int = _field("Limits", "Live sessions open at once; more get a 429.", 256, ge=0, le=100_000)
    live_by_load: bool = _field(
        "Limits",
        "Refuse live sessions where, by what open ones cost, no more fit on this machine; `false` = by `MAX_SESSIONS` "
        "alone.",
        True,
    )
    max_sessions_per_key: int = _field(
        "Limits", "Live sessions that one API key may have open; 0 = as many as there are.", 0, ge=0, le=100_000
    )
    session_idle_s: float = _field(
        "Limits", "A live session in which nothing comes for so many seconds is closed.", 300.0, gt=0, le=86_400
    )
    session_max_s: float = _field(
        "Limits", "A live session is closed after so many seconds; 0 = never.", 86_400.0, ge=0, le=31_536_000
    )
    slow_reader_s: float = _field(
        "Limits", "A live client that does not read for so many seconds is cut off.", 20.0, gt=0, le=600
    )

    asr_backend: Literal["auto", "qwen", "moonshine", "sphinx", "vllm", "scripted"] = _field(
        "Model",
        "Which recogniser runs. `auto` takes the best that is installed and logs what it took.",
        "auto",
    )
    model_id: str | None = _field("Model", "Hub id or folder of the model. Default: the backend's own.", None)
    model_revision: str | None = _field("Model", "Branch, tag or commit of the hub model.", None)
    model_allowlist: Names = _field(
        "Model", "Hub ids that may be loaded, comma-separated, `*` = anything. Folders always may.", ("Qwen/*",)
    )
    device: str = _field(
        "Model", "Where Qwen3-ASR runs: `cpu`, `cuda`, `cuda:N`, `mps`; `auto` takes a GPU if there is one.", "auto"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = _field(
        "Model",
        "Its numbers: `float32`, `bfloat16`, `float16`; `auto` takes `bfloat16` on a GPU that has it, `float16` on "
        "others, `float32` on a CPU.",
        "auto",
    )
    model_aliases: Names = _field(
        "Model",
        "Names that requests may give in `model` for the served model, comma-separated.",
        DEFAULT_ALIASES,
    )
    idle_timeout: float = _field(
        "Model",
        "Seconds without use after which the model is unloaded; 0 = never.",
        120.0,
        ge=0,
        le=7 * 86_400,
    )
    preload: bool = _field(
        "Model",
        "Load the model at start and keep it, whatever `IDLE_TIMEOUT` is; `/ready` says 503 until it is there.",
        False,
    )
    sphinx_workers: int | None = _field(
        "Model",
        "Threads (Moonshine) or processes (PocketSphinx) of the embedded recogniser for uploads. Default: one a core.",
        None,
        ge=1,
        le=256,
    )
    model_language: str = _field(
        "Model", "Language of the Moonshine model in the folder `MODEL_ID`: ISO 639-1 code or English name.", "en"
    )
    aligner: Literal["auto", "qwen", "sphinx", "none"] = _field(
        "Model",
        "What times the words of recognisers that cannot: `qwen` (Qwen3-ForcedAligner, 11 languages), `sphinx` "
        "(PocketSphinx's, English), `none`. `auto` takes `qwen` where `FORCED_ALIGNER_ID` is set, else `sphinx`.",
        "auto",
    )
    forced_aligner_id: str | None = _field(
        "Model",
        "Hub id or folder of Qwen's forced aligner. Default with `ALIGNER=qwen`: Qwen/Qwen3-ForcedAligner-0.6B.",
        None,
    )
    align_piece_s: float = _field(
        "Model",
        "Longest piece that the aligner gets, in seconds; recognition gets the same ones, of 30 at most.",
        30.0,
        ge=5,
        le=300,
    )
    hf_home: Path | None = _field("Model", "Where Hugging Face's libraries cache models.", None)

    vad_threshold: float = _field("Live", "Probability above which a frame is speech.", 0.5, gt=0, lt=1)
    vad_silence_ms: int = _field("Live", "Silence that ends an utterance, in milliseconds.", 500, ge=100, le=10_000)
    assume_silence: bool = _field(
        "Live",
        "Take it for silence where a client sends no audio (a muted microphone): its utterance ends after "
        "`VAD_SILENCE_MS` on the clock. `false` = wait for the audio.",
        True,
    )
    step_ms: int = _field("Live", "Cadence of partial results, in milliseconds.", 480, ge=100, le=5000)
    stable_hold_s: float = _field(
        "Live", "Seconds of audio over which hypotheses must agree before text is stable.", 1.0, ge=0, le=10
    )

    subtitle_max_cps: float = _field("Subtitles", "Reading speed, in characters a second.", 17.0, gt=0, le=100)
    subtitle_min_duration_s: float = _field("Subtitles", "Shortest cue.", 0.833, gt=0, le=10)
    subtitle_max_duration_s: float = _field("Subtitles", "Longest cue.", 7.0, gt=0, le=60)
    subtitle_gap_s: float = _field("Subtitles", "Smallest gap between cues.", 0.083, ge=0, le=2)
    subtitle_pause_s: float = _field("Subtitles", "A pause that breaks a cue.", 0.5, gt=0, le=10)

    openai_base_url: str | None = _field("Translation", "Base URL of an OpenAI-compatible LLM that translates.", None)
    openai_api_key: SecretStr | None = _field("Translation", "The LLM's key.", None)
    translate_model: str | None = _field("Translation", "The LLM's model; needed with `OPENAI_BASE_URL`.", None)
    translate_temperature: float = _field("Translation", "Temperature for plain text.", 0.3, ge=0, le=2)
    translate_srt_temperature: float = _field("Translation", "Temperature for subtitles.", 0.0, ge=0, le=2)
    translate_timeout: float = _field("Translation", "Seconds the LLM gets for an answer.", 60.0, gt=0, le=3600)
    translate_retries: int = _field(
        "Translation", "Times a request is sent again on 429, 5xx, time-out or disconnect.", 3, ge=0, le=20
    )

    use_vllm: bool = _field("Qwen engine", "The same as `ASR_BACKEND=vllm`.", False)
    use_speculative: bool = _field("Qwen engine", "A small model drafts, the large one checks and decides.", False)
    use_causal_encoder: bool = _field(
        "Qwen engine", "Use what was computed for a live utterance in its next step; `false` recomputes all.", True
    )
    dual_model: bool = _field(
        "Qwen engine", "Partials from the small model, stable text and finals from the large.", False
    )
    fast_model_id: str | None = _field(
        "Qwen engine", "The small model of `USE_SPECULATIVE` and `DUAL_MODEL`. Default: Qwen/Qwen3-ASR-0.6B.", None
    )
    quantize: Literal["none", "int8", "fp8"] = _field("Qwen engine", "Weight quantisation: `int8` or `none`.", "none")
    trt_encoder_path: Path | None = _field("Qwen engine", "TensorRT engine of the encoder.", None, planned=True)
    onnx_encoder_path: Path | None = _field("Qwen engine", "ONNX file of the encoder.", None, planned=True)
    max_slots: int | None = _field(
        "Qwen engine",
        "Pieces decoded together, or kept between the steps of a live utterance; fewer where memory is short. "
        "Default: 256 on a GPU, 8 on a CPU.",
        None,
        ge=1,
        le=4096,
    )
    gpu_memory_mb: int | None = _field(
        "Qwen engine", "GPU memory for weights and slots, MB. Default: most of what is free.", None, ge=100
    )
    use_cuda_graphs: bool = _field(
        "Qwen engine", "Start each decoding iteration as one CUDA graph (CUDA only; not yet run on a GPU).", False
    )

    log_level: Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"] = _field(
        "Logs", "Least level that is logged.", "INFO"
    )
    log_json: bool = _field("Logs", "One JSON object a line.", False)

    @field_validator("api_keys", "model_aliases", "model_allowlist", "allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            names = tuple(name.strip() for name in value.split(",") if name.strip())
            if value and not names:
                raise ValueError("names none; leave it out to have none")
            return names
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("root_path")
    @classmethod
    def _prefix(cls, value: str) -> str:
        bare = value.rstrip("/")
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", bare):
            raise ValueError("must be a path such as /steno")
        return bare

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
            raise ValueError("must be auto, cpu, mps, cuda or cuda:N")
        return value

    @field_validator("quantize")
    @classmethod
    def _known_quantization(cls, value: str) -> str:
        if value == "fp8":
            raise ValueError(
                "needs a GPU with 8-bit floats (NVIDIA Ada, Hopper, …) and is not in this version yet; use int8"
            )
        return value

    @field_validator("api_keys")
    @classmethod
    def _printable(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(not key.get_secret_value().isascii() or " " in key.get_secret_value() for key in keys):
            raise ValueError("keys must be ASCII without spaces")
        return keys

    @model_validator(mode="after")
    def _together(self) -> Settings:
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise ValueError("SSL_CERTFILE and SSL_KEYFILE go together; only one is set")
        for name in ("ssl_certfile", "ssl_keyfile"):
            path: Path | None = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"{name.upper()}: no such file: {path}")
        if self.use_vllm and self.asr_backend not in ("auto", "vllm"):
            raise ValueError(f"USE_VLLM=true contradicts ASR_BACKEND={self.asr_backend}; set one of them")
        return self

    @property
    def backend(self) -> str:
        """The recogniser asked for, `USE_VLLM` taken into account."""
        return "vllm" if self.use_vllm else self.asr_backend

    @property
    def is_public(self) -> bool:
        """Whether the server listens where other machines can reach it."""
        if self.host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return True

    def set_but_planned(self) -> list[str]:
        """The variables that somebody has set although nothing in this version acts on them."""
        fields = type(self).model_fields
        return [name.upper() for name in sorted(self.model_fields_set) if details_of(fields[name])["planned"]]


def load(**overrides: Any) -> Settings:
    """Read the environment; `overrides` (options of the command line) win where they are not None.

    Raises:
        SettingsError: naming each variable that is wrong, what it holds and what would be right. Secrets are not shown.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(problem) for problem in error.errors())) from None


def details_of(field: FieldInfo) -> dict[str, Any]:
    """The `group` of a setting, and whether it is only `planned`."""
    assert isinstance(field.json_schema_extra, dict)
    return dict(field.json_schema_extra)


def _explain(problem: Any) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return str(message)
    name = str(problem["loc"][0])
    if name in ("api_keys", "openai_api_key"):
        return f"{name.upper()}: {message}"
    return f"{name.upper()}={problem['input']!r}: {message}"
