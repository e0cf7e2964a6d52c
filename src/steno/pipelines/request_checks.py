"""Checks of a request's options, shared by the server and the command line."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from steno.backends.base import Capabilities
from steno.errors import InvalidRequestError, UnsupportedLanguageError
from steno.languages import code_of
from steno.translation.translator import MAX_GLOSSARY

TimingMode: TypeAlias = Literal["accurate", "fast"]
"""Source of subtitle times: `accurate` = word times of the recogniser or aligner; `fast` = estimated by length."""


def check_language(language: str | None, capabilities: Capabilities, backend: str) -> str | None:
    """Return a request's `language` as an ISO 639-1 code; None = detect.

    Raises:
        UnsupportedLanguageError: the language is unknown, or the backend does not support it.
    """
    if not language or language.strip().lower() in ("", "auto", "und"):
        return None
    code = code_of(language)
    if code is None:
        text = f"unsupported_language: {language[:50]!r} is not a known ISO 639-1 code or English name of a language"
        raise UnsupportedLanguageError(text, param="language")
    if capabilities.languages is not None and code not in capabilities.languages:
        supported = ", ".join(sorted(capabilities.languages))
        text = f"unsupported_language: backend {backend!r} does not support {code!r}; it supports {supported}"
        raise UnsupportedLanguageError(text, param="language")
    return code


def check_target(language: str) -> str:
    """Return the target language as a code. A name that is not in the table is kept, because an LLM may know it.

    Raises:
        UnsupportedLanguageError: it is not formed like a language's name or code.
    """
    name = language.strip()
    code = code_of(name)
    if code is not None:
        variant = re.fullmatch(r"[A-Za-z]{2,3}[-_]([A-Za-z]{2,8})", name)
        return f"{code}-{variant[1]}" if variant else code
    if name.lower() == "auto":
        raise UnsupportedLanguageError("invalid target language 'auto'; expected a code or a name", param="language")
    if not re.fullmatch(r"[^\W\d_]+(?:[ -][^\W\d_]+){0,4}", name) or len(name) > 50:
        raise UnsupportedLanguageError(
            f"invalid target language {language[:50]!r}; expected a code or a name", param="language"
        )
    return name


def parse_glossary(text: str, separators: str = "\n,") -> dict[str, str]:
    """Parse `term=translation` entries, separated by any of `separators`.

    Raises:
        InvalidRequestError: an entry has no `=`, or there are too many.
    """
    entries = [entry.strip() for entry in re.split(f"[{separators}]", text) if entry.strip()]
    if len(entries) > MAX_GLOSSARY:
        raise InvalidRequestError(
            f"the glossary has {len(entries)} entries; the maximum is {MAX_GLOSSARY}", param="glossary"
        )
    glossary: dict[str, str] = {}
    for entry in entries:
        term, equals, translation = (part.strip() for part in entry.partition("="))
        if not (term and equals and translation):
            raise InvalidRequestError(
                f"invalid glossary entry {entry!r}; expected 'term=translation'", param="glossary"
            )
        glossary[term] = translation
    return glossary
