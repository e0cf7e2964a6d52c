"""Types of settings: how a variable's text is parsed and validated, and the metadata of its field."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import NoDecode

Group: TypeAlias = Literal[
    "Server", "Limits", "Model", "Live", "Subtitles", "Translation", "URLs", "Cache", "Qwen engine", "vLLM", "Logs"
]


def setting(group: Group, description: str, default: Any = ..., *, planned: bool = False, **checks: Any) -> Any:
    """A field of `Settings`. `planned`: validated, but unused in this version; setting it logs a warning."""
    return Field(default, description=description, json_schema_extra={"group": group, "planned": planned}, **checks)


def details_of(field: FieldInfo) -> dict[str, Any]:
    """A setting's `group`, and whether it is only `planned`."""
    assert isinstance(field.json_schema_extra, dict)
    return dict(field.json_schema_extra)


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
UrlPrefix = Annotated[str, AfterValidator(_path_prefix)]
UrlSchemes = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_known_schemes)]
DeviceName = Annotated[str, AfterValidator(_known_device)]
Quantization: TypeAlias = Literal["none", "int8", "fp8"]
LogLevel = Annotated[Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)]
