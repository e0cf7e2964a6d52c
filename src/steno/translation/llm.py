"""The LLM client: the only module that uses the `openai` package and its errors.

Retries with back-off, `Retry-After` and timeouts are the package's own. Structured output is requested as the server
supports it: a JSON schema, else a JSON object, else by the prompt alone; a refused format is not requested again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loguru import logger

from steno import tracing
from steno.errors import TranslationError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"i": {"type": "integer"}, "text": {"type": "string"}},
                "required": ["i", "text"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["lines"],
    "additionalProperties": False,
}

RESPONSE_FORMATS: tuple[dict[str, Any] | None, ...] = (
    {"type": "json_schema", "json_schema": {"name": "lines", "strict": True, "schema": SCHEMA}},
    {"type": "json_object"},
    None,
)
"""Response formats, the strictest first. The answer is validated in any case."""


@dataclass(frozen=True, slots=True)
class LlmSettings:
    """The LLM's address, timeout and retries.

    `retries` apply to each request, on connection errors, timeouts, 408, 409, 429 and 5xx, with growing pauses.
    """

    base_url: str | None
    api_key: str | None
    model: str
    timeout_s: float = 60.0
    retries: int = 3


class Llm:
    """One LLM. The client is created at the first call; `aclose` closes its connections."""

    def __init__(self, settings: LlmSettings) -> None:
        self._settings = settings
        self._client: AsyncOpenAI | None = None
        self._format_index = 0

    @property
    def model(self) -> str:
        return self._settings.model

    async def ask(self, instructions: str, question: str, temperature: float) -> str:
        """The answer's text, not validated.

        Raises:
            TranslationError: no answer, after all retries.
        """
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": self._settings.model}
        with tracing.recorded(f"chat {self._settings.model}", attributes, kind="client"):
            return await self._ask_for_any_format(instructions, question, temperature)

    async def _ask_for_any_format(self, instructions: str, question: str, temperature: float) -> str:
        import openai

        while True:
            format_index = self._format_index
            try:
                return await self._ask(instructions, question, temperature, RESPONSE_FORMATS[format_index])
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if RESPONSE_FORMATS[format_index] is None:
                    raise _to_translation_error(error) from error
                logger.warning(
                    "the LLM does not support response_format {}; falling back to a weaker one",
                    RESPONSE_FORMATS[format_index],
                )
                self._format_index = max(self._format_index, format_index + 1)
            except Exception as error:
                raise _to_translation_error(error) from error

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _ask(
        self, instructions: str, question: str, temperature: float, response_format: dict[str, Any] | None
    ) -> str:
        client = self._client = self._client or self._connect()
        options: dict[str, Any] = {"response_format": response_format} if response_format else {}
        if (traceparent := tracing.current()) is not None:
            options["extra_headers"] = {"traceparent": traceparent}
        answer = await client.chat.completions.create(
            model=self._settings.model,
            messages=[{"role": "system", "content": instructions}, {"role": "user", "content": question}],
            temperature=temperature,
            **options,
        )
        content = answer.choices[0].message.content
        return content if isinstance(content, str) else ""

    def _connect(self) -> AsyncOpenAI:
        from openai import AsyncOpenAI

        settings = self._settings
        return AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.api_key or "none",
            timeout=settings.timeout_s,
            max_retries=settings.retries,
        )


def _to_translation_error(error: Exception) -> TranslationError:
    """The error without the request: transcripts must not appear in error messages."""
    status = getattr(error, "status_code", None)
    what = f"it answered {status}" if status else type(error).__name__
    return TranslationError(f"the LLM at OPENAI_BASE_URL gave no translation: {what}")
