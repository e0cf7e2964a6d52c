"""The LLM, behind the `openai` client: the one place that knows its API and its errors.

Retries with back-off, `Retry-After` and time-outs are the client's own. Structured output is asked for as the server
has it: a JSON schema, else a JSON object, else by words alone; what it refused once is not asked for again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loguru import logger

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

STRUCTURES: tuple[dict[str, Any] | None, ...] = (
    {"type": "json_schema", "json_schema": {"name": "lines", "strict": True, "schema": SCHEMA}},
    {"type": "json_object"},
    None,
)
"""From the strictest on; the answer is checked all the same."""


@dataclass(frozen=True, slots=True)
class LlmSettings:
    """Where the LLM is and how patient to be with it.

    `retries` are for each request, on connection errors, time-outs, 408, 409, 429 and 5xx, with growing pauses.
    """

    base_url: str | None
    api_key: str | None
    model: str
    timeout_s: float = 60.0
    retries: int = 3


class Llm:
    """One LLM. The client is made at the first call; `aclose` ends its connections."""

    def __init__(self, settings: LlmSettings) -> None:
        self._settings = settings
        self._client: AsyncOpenAI | None = None
        self._structure = 0

    async def ask(self, instructions: str, question: str, temperature: float) -> str:
        """The answer's text; it may be anything.

        Raises:
            TranslationError: no answer, after all retries.
        """
        import openai

        while True:
            structure = self._structure
            try:
                return await self._ask(instructions, question, temperature, STRUCTURES[structure])
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if STRUCTURES[structure] is None:
                    raise _translated(error) from error
                logger.warning("the LLM refuses response_format {}; doing without", STRUCTURES[structure])
                self._structure = max(self._structure, structure + 1)
            except Exception as error:
                raise _translated(error) from error

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _ask(self, instructions: str, question: str, temperature: float, structure: dict[str, Any] | None) -> str:
        client = self._client = self._client or self._connect()
        options: dict[str, Any] = {"response_format": structure} if structure else {}
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


def _translated(error: Exception) -> TranslationError:
    """What went wrong, without what was sent: the transcript is not for error messages."""
    status = getattr(error, "status_code", None)
    what = f"it answered {status}" if status else type(error).__name__
    return TranslationError(f"the LLM at OPENAI_BASE_URL gave no translation: {what}")
