"""vLLM's `AsyncLLM` behind the seam: start, sleep, restart after a crash. The engine itself is a process of vLLM's."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

from loguru import logger

from steno.backends.memory import release_memory
from steno.backends.repetition import ENDLESS_REPEATS, MAX_NGRAM
from steno.backends.vllm.engine_loop import EngineLoop
from steno.backends.vllm.token_generator import EngineCrashLoopError, Generation, TokenRequest
from steno.errors import BackendCrashedError, BackendError, BackendUnavailableError, ModelLoadError, StenoError

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

    from steno.backends.base import Progress
    from steno.backends.vllm.processing import Processing
    from steno.backends.vllm.vllm_options import VllmOptions

MAX_CRASHES = 3
"""Crashes in a row, with no completed request between them, after which requests are no longer repeated."""

STOP_S = 10.0
"""Time for vLLM's process to end before it is killed."""


class InProcessEngine:
    """A `TokenGenerator`."""

    def __init__(self, options: VllmOptions, processing: Processing) -> None:
        self._options = options
        self._processing = processing
        self._loop = EngineLoop()
        self._llm: AsyncLLM | None = None
        self._is_started = False
        """False with an `_llm`: it is asleep."""
        self._restart: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        """Sees the engine die between requests."""
        self._crashes = 0
        self._numbers = itertools.count()

    async def start(self, progress: Progress) -> None:
        """Start vLLM's engine, or wake it up.

        Raises:
            SettingsError: an argument that vLLM does not accept.
            ModelLoadError: it did not start.
        """
        if self._llm is not None and self._llm.errored:  # it died in its sleep
            await self.close()
        if self._llm is not None:
            progress(0.5, "waking up")
            await self._wake_up(self._llm)
        else:
            progress(0.1, "starting vLLM")
            await self._start()
        self._is_started = True

    async def stop(self) -> None:
        """Put the engine to sleep, or end its process."""
        self._is_started = False
        if self._restart is not None:
            self._restart.cancel()
            await asyncio.wait([self._restart])
            self._restart = None
        llm = self._llm
        if llm is not None and self._options.sleep_level and not llm.errored:
            await self._loop.run(llm.sleep(self._options.sleep_level))
            return
        await self.close()

    async def close(self) -> None:
        """End vLLM's process, asleep or not."""
        llm, self._llm = self._llm, None
        if llm is not None:
            await self._end(llm)
        del llm
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
            self._watch = None
        await self._loop.close()
        await asyncio.to_thread(release_memory)

    async def generate(self, request: TokenRequest) -> Generation:
        llm = await self._running()
        try:
            output = await self._loop.run(self._generate(llm, request))
        except StenoError:
            raise
        except Exception as error:  # noqa: BLE001 - vLLM's errors become ours
            raise self._translated(error, llm) from None
        self._crashes = 0
        return output

    def restarting(self) -> str | None:
        """See `RestartsItself`."""
        if self._restart is not None:
            return "vLLM's engine died; it is being started again"
        if self._is_started and (self._llm is None or self._llm.errored):
            return "vLLM's engine died; the next request starts it again"
        return None

    def forget(self, utterance: str) -> None:
        """vLLM evicts by itself."""

    async def _start(self) -> None:
        from pydantic import ValidationError

        from steno.backends.vllm.engine_args import engine_args_of, prepare_environment

        prepare_environment()

        async def start() -> AsyncLLM:
            from vllm.v1.engine.async_llm import AsyncLLM

            return AsyncLLM.from_engine_args(engine_args_of(self._options, self._processing.folder))

        try:
            self._llm = await self._loop.run(start())
        except StenoError:
            raise
        except (ValidationError, ValueError, TypeError) as error:
            first = next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
            raise ModelLoadError(f"vLLM does not accept the configuration: {first.strip()}") from error
        except Exception as error:
            logger.opt(exception=error).error("vLLM did not start: {}", error)
            raise ModelLoadError("vLLM did not start; the server's log has the reason") from error
        self._watch = asyncio.get_running_loop().create_task(self._watch_over(self._llm), name="vllm watch")

    async def _wake_up(self, llm: AsyncLLM) -> None:
        try:
            await self._loop.run(_wake_up(llm, self._options.sleep_level))
        except Exception as error:
            logger.opt(exception=error).error("vLLM did not wake up: {}", error)
            await self.close()
            raise ModelLoadError("vLLM did not wake up; the server's log has the reason") from error

    async def _watch_over(self, llm: AsyncLLM) -> None:
        """Start the engine again when it dies, without waiting for a request."""
        if llm.output_handler is not None:
            await self._loop.run(_until_done(llm.output_handler))
        if self._is_started and llm is self._llm and self._restart is None and self._crashes < MAX_CRASHES:
            self._died()

    async def _running(self) -> AsyncLLM:
        """The engine, once a restart that is in progress is done."""
        if not self._is_started:
            raise BackendUnavailableError("backend 'vllm' is not loaded")
        if self._restart is None and (self._llm is None or self._llm.errored):
            self._died()
        if self._restart is not None:
            await asyncio.wait([self._restart])
        if self._llm is None:
            raise self._crash()
        return self._llm

    async def _generate(self, llm: AsyncLLM, request: TokenRequest) -> Generation:
        from vllm import SamplingParams
        from vllm.sampling_params import RepetitionDetectionParams, RequestOutputKind

        params = SamplingParams(
            temperature=0.0,
            max_tokens=request.max_tokens,
            logprobs=0,
            stop_token_ids=sorted(self._processing.stop_token_ids),
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            repetition_detection=RepetitionDetectionParams(MAX_NGRAM, 1, ENDLESS_REPEATS),
        )
        last: Any = None
        async for output in llm.generate(
            prompt_of(request, self._processing.audio_token_id),
            params,
            f"steno-{next(self._numbers)}",
            priority=int(request.priority),
        ):
            last = output
        if last is None or not last.outputs or last.outputs[0].finish_reason == "abort":
            raise BackendError("vLLM aborted the request")
        (choice,) = last.outputs
        tokens = tuple(choice.token_ids)
        logprobs = tuple(each[token].logprob for token, each in zip(tokens, choice.logprobs, strict=True))
        return Generation(tokens, logprobs)

    def _translated(self, error: Exception, llm: AsyncLLM) -> StenoError:
        if llm.errored:
            if llm is self._llm and self._restart is None:
                self._died()
            return self._crash()
        logger.opt(exception=error).error("vLLM refused or failed a request: {}", error)
        return BackendError("vLLM failed on this audio; the server's log has the reason")

    async def _end(self, llm: AsyncLLM) -> None:
        if llm.output_handler is not None:  # it would log the process's end as a failure
            await self._loop.run(_cancel(llm.output_handler))
        await asyncio.to_thread(llm.shutdown, STOP_S)

    def _crash(self) -> BackendCrashedError:
        if self._crashes > MAX_CRASHES:
            return EngineCrashLoopError(f"vLLM's engine died {self._crashes} times in a row; the log has the reason")
        return BackendCrashedError("vLLM's engine died")

    def _died(self) -> None:
        self._crashes += 1
        logger.error("vLLM's engine died; it is started again")
        self._restart = asyncio.get_running_loop().create_task(self._start_again(), name="vllm restart")

    async def _start_again(self) -> None:
        dead, self._llm = self._llm, None
        try:
            if dead is not None:
                await self._end(dead)
            del dead
            await self._start()
            logger.info("vLLM's engine runs again")
        except StenoError as error:
            logger.error("vLLM's engine could not be started again: {}", error.message)
        finally:
            self._restart = None


def prompt_of(request: TokenRequest, audio_token_id: int) -> Any:
    """vLLM's prompt: one audio token for each window, which vLLM expands to the window's length."""
    import torch
    from vllm.inputs import TokensPrompt

    ids = [*request.before, *[audio_token_id] * len(request.windows), *request.after]
    lengths = [window.frames for window in request.windows]
    mask = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for row, length in enumerate(lengths):
        mask[row, :length] = 1
    audio = {
        "input_audio_features": torch.cat([window.features for window in request.windows], dim=1),
        "audio_feature_lengths": torch.tensor(lengths),
        "feature_attention_mask": mask,
    }
    return TokensPrompt(prompt_token_ids=ids, multi_modal_data={"audio": audio})


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _until_done(task: asyncio.Task[Any]) -> None:
    await asyncio.wait([task])


async def _wake_up(llm: AsyncLLM, level: int) -> None:
    await llm.wake_up()
    if level == 2:
        await llm.collective_rpc("reload_weights")
        await llm.reset_prefix_cache()
