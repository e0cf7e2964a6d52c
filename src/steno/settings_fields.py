"""Types of settings: how a variable's text is parsed and validated, and the metadata of its field."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import NoDecode

Group: TypeAlias = Literal[
    "Server",
    "Processes",
    "Limits",
    "Model",
    "Live",
    "Subtitles",
    "Translation",
    "URLs",
    "Cache",
    "Jobs",
    "Archive",
    "Qwen engine",
    "vLLM",
    "Logs",
]

DEFAULT_ALIASES = (
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-transcribe-diarize",
    "gpt-4o-mini-transcribe",
    "gpt-transcribe",
    "gpt-live-transcribe",
    "gpt-realtime-whisper",
    "whisper-large-v3",
    "whisper-large-v3-turbo",
    "nova-2",
    "nova-3",
)
"""Model names that clients of other services send."""


def setting(group: Group, description: str, default: Any = ..., **checks: Any) -> Any:
    """A field of `Settings`."""
    return Field(default, description=description, json_schema_extra={"group": group}, **checks)


def group_of(field: FieldInfo) -> Any:
    """A setting's group in the reference."""
    assert isinstance(field.json_schema_extra, dict)
    return field.json_schema_extra["group"]


def _split(value: object) -> object:
    if isinstance(value, str):
        names = tuple(name.strip() for name in value.split(",") if name.strip())
        if value and not names:
            raise ValueError("contains no name; unset it for an empty list")
        return names
    return value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _printable(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if any(not key.get_secret_value().isascii() or " " in key.get_secret_value() for key in keys):
        raise ValueError("keys must be ASCII without spaces")
    return keys


def _printable_key(key: SecretStr) -> SecretStr:
    return _printable((key,))[0]


def _server_urls(urls: tuple[str, ...]) -> tuple[str, ...]:
    """Without `/v1`, which clients of OpenAI's API write. Messages do not repeat the URL: it may have a password."""
    checked = tuple(_server_url(url) for url in urls)
    if len(set(checked)) < len(checked):
        raise ValueError("one server is named twice")
    return checked


def _server_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("one of the URLs is not valid; expected URLs such as http://host:8000") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or not parts.netloc.isascii():
        raise ValueError("must be URLs such as http://host:8000, comma-separated")
    if "@" in parts.netloc:
        raise ValueError(f"the URL of {parts.hostname} has credentials; set VLLM_API_KEY instead")
    path = parts.path.rstrip("/").removesuffix("/v1")
    if "?" in url or "#" in url or not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", path):
        raise ValueError(f"the URL of {parts.hostname} must end after the port, /v1 or a plain path prefix")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _path_prefix(value: str) -> str:
    bare = value.rstrip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", bare):
        raise ValueError("must be a path such as /steno")
    return bare


def _known_schemes(schemes: tuple[str, ...]) -> tuple[str, ...]:
    known = ("https", "http", "s3", "gs", "az")
    if unknown := [scheme for scheme in schemes if scheme not in known]:
        raise ValueError(f"unknown scheme {unknown[0]!r}; expected some of {', '.join(known)}")
    return schemes


def _known_device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise ValueError("must be auto, cpu, mps, cuda or cuda:N")
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Written as `a,b,c` in the environment."""
SecretKeys = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split), AfterValidator(_printable)]
"""As `Names`; never shown in errors or logs."""
SecretKey = Annotated[SecretStr, AfterValidator(_printable_key)]
ServerUrls = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_server_urls)]
UrlPrefix = Annotated[str, AfterValidator(_path_prefix)]
UrlSchemes = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_known_schemes)]
DeviceName = Annotated[str, AfterValidator(_known_device)]
Devices = Annotated[tuple[DeviceName, ...], NoDecode, BeforeValidator(_split)]
Quantization: TypeAlias = Literal["auto", "none", "int8", "fp8"]
LogLevel = Annotated[Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)]
