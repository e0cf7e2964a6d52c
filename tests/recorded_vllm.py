"""vLLM's engine, with what goes into it and comes out of it kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from steno.backends.qwen.checkpoint.model_source import ModelRef
from steno.backends.vllm.backend import VllmBackend
from steno.backends.vllm.in_process import InProcessEngine
from steno.backends.vllm.vllm_options import VllmOptions
from tiny.clips import ASR

if TYPE_CHECKING:
    from steno.backends.vllm.processing import Processing
    from steno.backends.vllm.token_generator import Generation, TokenRequest

SLOTS = 8


class RecordedEngine(InProcessEngine):
    """`taken` has each request with its result, in the order in which they were done."""

    def __init__(self, options: VllmOptions, processing: Processing) -> None:
        super().__init__(options, processing)
        self.processing = processing
        self.taken: list[tuple[TokenRequest, Generation]] = []
        self.cached: list[tuple[int, int]] = []
        """Of each request that was done: prompt tokens whose keys and values were cached, and all prompt tokens."""

    async def generate(self, request: TokenRequest) -> Generation:
        generation = await super().generate(request)
        self.taken.append((request, generation))
        return generation

    async def _generate(self, llm: Any, request: TokenRequest) -> Generation:
        return await super()._generate(CacheWatch(llm, self.cached), request)

    def tokens(self, number: int, language: str | None) -> list[int]:
        """The whole text of a request: forced tokens and generated ones, without the stop token."""
        request, generation = self.taken[number]
        _, tail = self.processing.prompt_builder.around("", language)
        forced = request.after[len(tail) :]
        return [token for token in (*forced, *generation.tokens) if token not in self.processing.stop_token_ids]

    def unfinished(self) -> int:
        """Requests that vLLM has not finished."""
        return self._llm.get_num_unfinished_requests() if self._llm is not None else 0

    async def of_one_item(self, audio: Any, language: str | None = None) -> list[int]:
        """What vLLM makes of `audio` as one audio item, from which it extracts the features itself."""
        from vllm import SamplingParams
        from vllm.inputs import TokensPrompt

        before, after = self.processing.prompt_builder.around("", language)
        prompt = TokensPrompt(
            prompt_token_ids=[*before, self.processing.audio_token_id, *after],
            multi_modal_data={"audio": (audio, 16_000)},
        )
        stops = sorted(self.processing.stop_token_ids)
        params = SamplingParams(temperature=0.0, max_tokens=400, stop_token_ids=stops, detokenize=False)

        async def generate() -> list[int]:
            assert self._llm is not None
            last: Any = None
            async for output in self._llm.generate(prompt, params, f"one-item-{next(self._numbers)}"):
                last = output
            return [token for token in last.outputs[0].token_ids if token not in self.processing.stop_token_ids]

        return await self._loop.run(generate())


class CacheWatch:
    """vLLM's client, which notes for each request how much of its prompt was cached."""

    def __init__(self, llm: Any, cached: list[tuple[int, int]]) -> None:
        self._llm = llm
        self._cached = cached

    async def generate(self, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
        async for output in self._llm.generate(*arguments, **options):
            if output.finished:
                self._cached.append((output.num_cached_tokens, len(output.prompt_token_ids)))
            yield output


def recorded_backend() -> tuple[VllmBackend, Callable[[], RecordedEngine]]:
    """A backend with the tiny checkpoint, and its engine, which exists once the backend is loaded."""
    engines: list[RecordedEngine] = []
    model = ModelRef(str(ASR), None, (), None, "recogniser")

    def new_engine(processing: Processing) -> RecordedEngine:
        engines.append(RecordedEngine(VllmOptions(model, slots=SLOTS), processing))
        return engines[-1]

    return VllmBackend(model, SLOTS, "cpu", new_engine), lambda: engines[-1]
