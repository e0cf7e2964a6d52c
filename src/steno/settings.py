"""The settings: environment variables, read and validated once.

Only `cli`, `compose` and `server/app.py` use them; lower layers get values. `settings_reference` generates
`steno serve --help` and `docs/settings.md` from the descriptions.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, model_validator
from pydantic_settings import SettingsConfigDict

from steno.errors import SettingsError
from steno.settings_captions import CaptionSettings
from steno.settings_fields import (
    DEFAULT_ALIASES,
    LogLevel,
    Names,
    Quantization,
    SecretKey,
    SecretKeys,
    ServerUrls,
    UrlPrefix,
    group_of,
    setting,
)
from steno.settings_live import LiveStreamSettings
from steno.settings_processes import ProcessSettings
from steno.settings_stored_work import StoredWorkSettings

RESULT_GROUPS = ("Model", "Live", "Subtitles", "Translation", "Qwen engine", "vLLM")


class Settings(LiveStreamSettings, CaptionSettings, StoredWorkSettings, ProcessSettings):
    """All environment variables of steno. A field's name is its variable's name in lower case."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True, protected_namespaces=())

    host: str = setting("Server", "Address to listen on. `0.0.0.0` opens the server to the network.", "127.0.0.1")
    port: int = setting("Server", "Port to listen on; 0 = a free one.", 8000, ge=0, le=65535)
    ssl_certfile: Path | None = setting("Server", "TLS certificate (PEM); needs `SSL_KEYFILE`.", None)
    ssl_keyfile: Path | None = setting("Server", "TLS private key (PEM); needs `SSL_CERTFILE`.", None)
    api_keys: SecretKeys = setting(
        "Server",
        "API keys of clients, comma-separated. Empty = the server is open to every client that can reach the port.",
        (),
    )
    root_path: UrlPrefix = setting(
        "Server",
        "Path prefix of a proxy in front of this server, such as `/steno`. The proxy may remove it or keep it.",
        "",
    )
    allowed_origins: Names = setting(
        "Server",
        "Web pages that may use the server, as origins (`https://example.org`), comma-separated; `*` = all. "
        "Default: pages of the server's own host, and pages that send a key. Without keys, `Host` must also be an "
        "address, a local name or the host of one of these origins.",
        (),
    )

    max_queue: int = setting(
        "Limits",
        "Max waiting requests, in addition to those that run; more get a 429.",
        32,
        ge=0,
        le=10_000,
    )
    request_timeout: float = setting(
        "Limits", "Max seconds of a request, including model loading.", 600.0, gt=0, le=86_400
    )
    max_upload_mb: int = setting("Limits", "Max size of an upload, in MiB.", 1024, ge=1, le=1_000_000)
    max_uploads_per_client: int = setting(
        "Limits",
        "Max concurrent uploads per API key, or per address if there are no keys; more get a 429; 0 = unlimited.",
        32,
        ge=0,
        le=100_000,
    )
    max_audio_s: float = setting("Limits", "Max length of a recording, in seconds.", 4 * 3600.0, gt=0, le=7 * 86_400)
    max_decoders: int | None = setting(
        "Limits",
        "Max recordings decoded at once, each by a process of about 25 MB; more wait. Divided among `FRONTS`. Default: "
        "4 per core, at least 8.",
        None,
        ge=1,
        le=1024,
    )
    max_live_decoders: int = setting(
        "Limits",
        "Max live WebM, Ogg and MP4 streams decoded at once, each by a process of about 25 MB; more are refused. "
        "Divided among `FRONTS`.",
        64,
        ge=1,
        le=10_000,
    )
    decoder_memory_mb: int = setting(
        "Limits",
        "Max memory for decoding one recording or stream, in MiB, in addition to that of an idle decoder (Linux).",
        512,
        ge=64,
        le=65_536,
    )
    decoder_cpu_s: int = setting(
        "Limits",
        "Seconds of CPU time after which a decoder that emits no audio is killed (Linux, macOS).",
        10,
        ge=1,
        le=600,
    )
    keep_alive_s: int = setting("Limits", "Seconds that an idle HTTP connection stays open.", 75, ge=1, le=3600)
    max_connections: int = setting(
        "Limits",
        "Max open connections of each process of `FRONTS`. A new one evicts the longest idle one; if all are busy, a "
        "request gets a 503.",
        1000,
        ge=1,
        le=100_000,
    )

    max_sessions: int = setting("Limits", "Max open live sessions; more get a 429.", 256, ge=0, le=100_000)
    live_by_load: bool = setting(
        "Limits",
        "Refuse live sessions that, by the measured load of open ones, do not fit on this machine; `false` = use only "
        "`MAX_SESSIONS`.",
        True,
    )
    max_sessions_per_key: int = setting(
        "Limits", "Max open live sessions per API key; 0 = unlimited.", 0, ge=0, le=100_000
    )
    session_idle_s: float = setting(
        "Limits", "Seconds without a message after which a live session is closed.", 300.0, gt=0, le=86_400
    )
    session_max_s: float = setting(
        "Limits", "Max seconds of a live session; 0 = unlimited.", 86_400.0, ge=0, le=31_536_000
    )
    slow_reader_s: float = setting(
        "Limits", "Seconds after which a live client that does not read is disconnected.", 20.0, gt=0, le=600
    )

    asr_backend: Literal["auto", "qwen", "moonshine", "sphinx", "vllm", "vllm-remote", "scripted"] = setting(
        "Model",
        "The recogniser. `auto` uses the best one that is installed, and logs its choice.",
        "auto",
    )
    model_id: str | None = setting("Model", "Hub id or folder of the model. Default: the backend's own.", None)
    model_revision: str | None = setting("Model", "Branch, tag or commit of the hub model.", None)
    model_allowlist: Names = setting(
        "Model", "Hub ids that may be loaded, comma-separated; `*` = any. Folders are always allowed.", ("Qwen/*",)
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = setting(
        "Model",
        "Number format of Qwen3-ASR: `float32`, `bfloat16`, `float16`; `auto` = `bfloat16` on a GPU that supports it, "
        "`float16` on others, `float32` on a CPU.",
        "auto",
    )
    model_aliases: Names = setting(
        "Model",
        "Further names of the served model that requests may send in `model`, comma-separated.",
        DEFAULT_ALIASES,
    )
    idle_timeout: float = setting(
        "Model",
        "Seconds without use after which the model is unloaded; 0 = never.",
        120.0,
        ge=0,
        le=7 * 86_400,
    )
    preload: bool = setting(
        "Model",
        "Load the model at start and keep it, regardless of `IDLE_TIMEOUT`; `/ready` responds with 503 until then.",
        False,
    )
    sphinx_workers: int | None = setting(
        "Model",
        "Threads (Moonshine) or processes (PocketSphinx) of the embedded recogniser for uploads. Default: 1 per core.",
        None,
        ge=1,
        le=256,
    )
    model_language: str = setting(
        "Model", "Language of a Moonshine model in the folder `MODEL_ID`: ISO 639-1 code or English name.", "en"
    )
    aligner: Literal["auto", "qwen", "sphinx", "none"] = setting(
        "Model",
        "Aligner for recognisers without word times: `qwen` (Qwen3-ForcedAligner, 11 languages), `sphinx` "
        "(PocketSphinx, English), `none`. `auto` = `qwen` if `FORCED_ALIGNER_ID` is set, else `sphinx`.",
        "auto",
    )
    forced_aligner_id: str | None = setting(
        "Model",
        "Hub id or folder of Qwen's forced aligner. Default with `ALIGNER=qwen`: Qwen/Qwen3-ForcedAligner-0.6B.",
        None,
    )
    align_piece_s: float = setting(
        "Model",
        "Max length of a piece with an aligner, in seconds. Recognition gets the same pieces, of 30 s at most.",
        30.0,
        ge=5,
        le=300,
    )
    hf_home: Path | None = setting("Model", "Cache folder of Hugging Face's libraries.", None)

    use_vllm: bool = setting("vLLM", "Recognise with vLLM; same as `ASR_BACKEND=vllm`.", False)
    vllm_args: str = setting(
        "vLLM", 'Further arguments of vLLM\'s engine, as a JSON object: `{"tensor_parallel_size": 2}`.', ""
    )
    vllm_sleep_level: int = setting(
        "vLLM",
        "What unloading an idle model does: `0` ends vLLM's process, `1` moves the weights to host memory, `2` drops "
        "them (1 and 2 on GPUs only; not yet tested on a GPU).",
        0,
        ge=0,
        le=2,
    )
    vllm_base_url: ServerUrls = setting(
        "vLLM", "Recognise on running vLLM servers, comma-separated: `http://a:8000,http://b:8000`.", ()
    )
    vllm_api_key: SecretKey | None = setting("vLLM", "The key of the servers of `VLLM_BASE_URL`.", None)
    use_speculative: bool = setting(
        "Qwen engine", "Speculative decoding: a small model drafts, the large model verifies.", False
    )
    use_causal_encoder: bool = setting(
        "Qwen engine", "Reuse an utterance's cached state in its next live step; `false` = recompute.", True
    )
    dual_model: bool = setting(
        "Qwen engine", "Partials from a small model, stable text and finals from the large one.", False
    )
    fast_model_id: str | None = setting(
        "Qwen engine", "Small model of `USE_SPECULATIVE` and `DUAL_MODEL`. Default: Qwen/Qwen3-ASR-0.6B.", None
    )
    quantize: Quantization = setting(
        "Qwen engine",
        "Weight quantisation: `auto` (own engine on an x86 CPU: `int8`, if a clip has the same text, else `none`), "
        "`int8` (own engine), `fp8` (GPUs; not yet tested on one) or `none`.",
        "auto",
    )
    trt_encoder_path: Path | None = setting(
        "Qwen engine",
        "Encoder on TensorRT: a file of `steno export encoder --tensorrt` (not yet tested on a GPU).",
        None,
    )
    onnx_encoder_path: Path | None = setting(
        "Qwen engine", "Encoder on ONNX Runtime: a file of `steno export encoder --onnx`.", None
    )
    max_slots: int | None = setting(
        "Qwen engine",
        "Max KV cache slots: utterances decoded together or cached between live steps; fewer if memory is short. "
        "Default: 256 on a GPU, 8 on a CPU.",
        None,
        ge=1,
        le=4096,
    )
    long_slots: int | None = setting(
        "Qwen engine",
        "How many of `MAX_SLOTS` are long: 2,320 tokens, the others 640 (own engine). Default: an eighth on a GPU; "
        "all on a CPU, if memory suffices.",
        None,
        ge=1,
        le=4096,
    )
    gpu_memory_mb: int | None = setting(
        "Qwen engine", "GPU memory for weights and KV cache, in MB. Default: most of the free memory.", None, ge=100
    )
    use_cuda_graphs: bool = setting(
        "Qwen engine", "Run each decoding step as one CUDA graph (CUDA only; not yet tested on a GPU).", False
    )

    log_level: LogLevel = setting("Logs", "Lowest level that is logged.", "INFO")
    log_json: bool = setting("Logs", "Log one JSON object per line.", False)

    @model_validator(mode="after")
    def _together(self) -> Settings:
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise ValueError("SSL_CERTFILE and SSL_KEYFILE must be set together; only one is set")
        for name in ("ssl_certfile", "ssl_keyfile"):
            path: Path | None = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"{name.upper()}: no such file: {path}")
        if self.onnx_encoder_path is not None and self.trt_encoder_path is not None:
            raise ValueError("ONNX_ENCODER_PATH and TRT_ENCODER_PATH are both set; set one of them")
        if self.use_vllm and self.asr_backend not in ("auto", "vllm", "vllm-remote"):
            raise ValueError(f"USE_VLLM=true contradicts ASR_BACKEND={self.asr_backend}; set one of them")
        if self.vllm_base_url and self.asr_backend not in ("auto", "vllm", "vllm-remote"):
            raise ValueError(f"VLLM_BASE_URL contradicts ASR_BACKEND={self.asr_backend}; set one of them")
        if self.asr_backend == "vllm-remote" and not self.vllm_base_url:
            raise ValueError("ASR_BACKEND=vllm-remote needs VLLM_BASE_URL")
        return self

    @property
    def backend(self) -> str:
        """The configured recogniser, with `USE_VLLM` and `VLLM_BASE_URL` applied."""
        if self.vllm_base_url:
            return "vllm-remote"
        return "vllm" if self.use_vllm else self.asr_backend

    def of_results(self) -> str:
        """Names and values of all settings that may change a result."""
        fields = type(self).model_fields
        names = [name for name in sorted(fields) if group_of(fields[name]) in RESULT_GROUPS]
        return repr({name: str(getattr(self, name)) for name in names})

    @property
    def is_public(self) -> bool:
        """Whether other machines can reach the server's address."""
        if self.host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return True


def load(**overrides: Any) -> Settings:
    """Read the environment. `overrides` (command line options) that are not None take precedence.

    Raises:
        SettingsError: names each invalid variable, its value and what is expected. Secrets are not shown.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(problem) for problem in error.errors())) from None


def _explain(problem: Any) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return str(message)
    name = str(problem["loc"][0])
    if name in ("api_keys", "openai_api_key", "vllm_api_key", "vllm_base_url"):
        return f"{name.upper()}: {message}"
    return f"{name.upper()}={problem['input']!r}: {message}"
