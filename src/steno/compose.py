"""Builds the engine and pipelines from settings, for the server and the command line."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from loguru import logger

from steno.audio.sandbox.decoder_pool import DecoderPool
from steno.audio.sandbox.limits import DecoderLimits
from steno.backends import registry
from steno.backends.aligners import registry as aligner_registry
from steno.backends.cpu import half_of_cores
from steno.captions.cues import CueStyle
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.engine.local import local_engine
from steno.engine.telemetry import Telemetry
from steno.errors import SettingsError
from steno.pipelines.live.live_context import LiveContext, LiveSettings, LiveTelemetry
from steno.pipelines.live.service import LiveService
from steno.pipelines.live.speaker_stage import SpeakerStage, SpeakerTelemetry
from steno.pipelines.live.turn_options import TurnSettings
from steno.pipelines.live.turn_stage import TurnStage, TurnTelemetry
from steno.pipelines.live.vad_stage import VadStage, VadTelemetry
from steno.pipelines.recording_reader import RecordingOpener, RecordingReaderSettings
from steno.pipelines.speaker_model import SpeakerModel
from steno.settings import Settings
from steno.speakers.embedder_choice import check_speaker_model
from steno.speakers.embedder_source import EmbedderSource
from steno.translation.llm import Llm, LlmSettings
from steno.translation.translator import Translator
from steno.vad.config import SegmenterConfig

if TYPE_CHECKING:
    from steno.archive.archive_folder import ArchiveOptions
    from steno.archive.stages.stage import StageTools
    from steno.backends.aligners.base import Aligner
    from steno.backends.base import AsyncBackend, StepBackend
    from steno.engine.counts import Counts
    from steno.engine.protocol import EngineClient, EngineInfo, EngineStatus
    from steno.engine.worker.membership import LookUp
    from steno.engine.worker.worker_client import Connect
    from steno.engine.worker.worker_server import WorkerServer
    from steno.engine.worker.worker_tcp import TokenGate
    from steno.outbound.fetch import UrlFetcher

MAX_PIECE_S = 30.0
"""Longer pieces do not improve accuracy, but add latency: a piece starts only when a worker is free."""

LINE_CHARS, LINES = 42, 2

ARCHIVE_AUDIO_S = 7 * 24 * 3600.0
"""Max length of a recording in an archive. MAX_AUDIO_S is for what clients send: streams are recorded for longer."""

FILE_NICENESS, LIVE_NICENESS = 10, 5
"""Decoders of uploads have a lower priority than live decoders, which have a lower one than the server."""

DECODERS_PER_CORE, LEAST_DECODERS = 4, 8
"""More than one decoder per core, because a decoder mostly waits for its recording's recognition."""


class StreamTelemetry(LiveTelemetry, VadTelemetry, TurnTelemetry, SpeakerTelemetry, Protocol):
    """Telemetry of live streams, their VAD, their turn detection and their speakers."""


def engine_of(settings: Settings, telemetry: Telemetry | None = None) -> Engine:
    """Choose the backend and build the engine, with its models in this process. No model is loaded yet.

    Raises:
        BackendUnavailableError: the configured backend cannot run on this machine; the message names what is missing.
    """
    backend, aligner = _models_of(settings)
    return local_engine(backend, _limits_of(settings), telemetry, aligner=aligner)


def gateway_engine_of(
    settings: Settings, telemetry: Telemetry, connects: Sequence[Connect], counts: Counts | None = None
) -> Engine:
    """As `engine_of`, with the models in the workers that `connects` connect to.

    Args:
        counts: those of all fronts, if there are several.
    """
    from steno.engine.local import unloaded_status
    from steno.engine.protocol import EngineInfo
    from steno.engine.worker.membership import Membership
    from steno.engine.worker.worker_client import WorkerClient
    from steno.engine.worker.worker_pool import WorkerPool

    backend, aligner = _models_of(settings)
    info, unloaded = EngineInfo.of(backend, aligner), unloaded_status(backend, aligner)
    client: EngineClient
    if len(connects) == 1:
        client = WorkerClient(info, unloaded, connects[0], telemetry)
    else:
        membership = Membership({f"worker {number}": connect for number, connect in enumerate(connects)})

        async def look_up() -> Membership:
            return membership

        client = WorkerPool(info, unloaded, look_up, telemetry)
    return Engine(client, _limits_of(settings), telemetry, counts)


def pool_engine_of(
    settings: Settings, telemetry: Telemetry, info: EngineInfo, unloaded: EngineStatus, look_up: LookUp
) -> Engine:
    """As `engine_of`, with the models in the workers that `look_up` finds; they serve what `info` says."""
    from steno.engine.worker.worker_pool import WorkerPool

    return Engine(WorkerPool(info, unloaded, look_up, telemetry), _limits_of(settings), telemetry)


def worker_of(settings: Settings, gate: TokenGate | None = None) -> WorkerServer:
    """What a worker runs: the models, and the server that other processes reach them by.

    Args:
        gate: checks who connects, where anyone could. Such a worker is not ended when it is idle.
    """
    from steno.engine.local import LocalClient
    from steno.engine.worker.measurements import Measurements
    from steno.engine.worker.worker_server import WorkerServer, end_broken

    backend, aligner = _models_of(settings)
    measurements = Measurements()
    client = LocalClient(backend, _limits_of(settings), measurements, aligner=aligner, on_broken=end_broken)
    return WorkerServer(client, measurements, settings.idle_timeout if gate is None else 0.0, gate)


def _models_of(settings: Settings) -> tuple[AsyncBackend | StepBackend, Aligner | None]:
    choice = registry.choose(settings.backend, settings.model_id)
    logger.info("backend {}: {}", choice.name, choice.reason)
    if choice.better:
        logger.info("{}", choice.better)
    options = backend_options_of(settings)
    for name, path in (("ONNX_ENCODER_PATH", options.onnx_encoder), ("TRT_ENCODER_PATH", options.trt_encoder)):
        if path is not None and choice.name != "qwen":
            logger.warning("{} is set, but the {} backend has no use for it", name, choice.name)
    backend = registry.create(choice.name, options)
    aligner = aligner_registry.choose(settings.aligner, backend.capabilities, settings.forced_aligner_id)
    logger.info("aligner {}: {}", aligner.name or "none", aligner.reason)
    return backend, aligner_registry.create(aligner.name, options) if aligner.name else None


def _limits_of(settings: Settings) -> AdmissionLimits:
    return AdmissionLimits(
        max_waiting=settings.max_queue,
        max_live=settings.max_sessions,
        live_by_load=settings.live_by_load,
        request_timeout_s=settings.request_timeout,
        idle_timeout_s=settings.idle_timeout,
    )


def backend_options_of(settings: Settings) -> registry.BackendOptions:
    return registry.BackendOptions(
        model_id=settings.model_id,
        workers=settings.sphinx_workers,
        revision=settings.model_revision,
        allowlist=settings.model_allowlist,
        hf_home=settings.hf_home,
        device=settings.device,
        dtype=settings.dtype,
        quantize=settings.quantize,
        slots=settings.max_slots,
        long_slots=settings.long_slots,
        aligner_id=settings.forced_aligner_id,
        incremental=settings.use_causal_encoder,
        fast_model_id=settings.fast_model_id,
        speculative=settings.use_speculative,
        dual=settings.dual_model,
        gpu_memory_mb=settings.gpu_memory_mb,
        cuda_graphs=settings.use_cuda_graphs,
        onnx_encoder=settings.onnx_encoder_path,
        trt_encoder=settings.trt_encoder_path,
        language=settings.model_language,
        vllm_args=settings.vllm_args,
        vllm_urls=settings.vllm_base_url,
        vllm_api_key=settings.vllm_api_key.get_secret_value() if settings.vllm_api_key else None,
        vllm_sleep_level=settings.vllm_sleep_level,
    )


def translator_of(settings: Settings) -> Translator | None:
    """The translator; None if no LLM is configured. Does not connect yet."""
    if not (settings.openai_base_url and settings.translate_model):
        return None
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else None
    patience = (settings.translate_timeout, settings.translate_retries)
    return Translator(Llm(LlmSettings(settings.openai_base_url, key, settings.translate_model, *patience)))


def caption_style_of(settings: Settings, max_line_chars: int, max_lines: int) -> CueStyle:
    """The style of cues, with a request's line limits."""
    return CueStyle(
        max_line_chars=max_line_chars,
        max_lines=max_lines,
        max_cps=settings.subtitle_max_cps,
        min_duration_s=settings.subtitle_min_duration_s,
        max_duration_s=settings.subtitle_max_duration_s,
        gap_s=settings.subtitle_gap_s,
        pause_s=settings.subtitle_pause_s,
    )


def live_of(
    settings: Settings,
    engine: Engine,
    translator: Translator | None,
    telemetry: StreamTelemetry,
    embedders: EmbedderSource | None = None,
) -> LiveService:
    """Build the service that opens live streams. Close it. `embedders`: shared with recordings; None = its own."""
    threshold = settings.vad_threshold
    max_s = longest_piece_s(settings, engine)
    segmenter = SegmenterConfig(
        threshold=threshold,
        release=min(0.35, 0.7 * threshold),
        silence_ms=settings.vad_silence_ms,
        search_from_s=0.8 * max_s,
        max_s=max_s,
    )
    turns = TurnSettings(settings.turn_detection, settings.turn_threshold, settings.max_silence_ms)
    live = LiveSettings(segmenter, settings.step_ms / 1000, settings.stable_hold_s, settings.assume_silence, turns)
    style = caption_style_of(settings, max_line_chars=LINE_CHARS, max_lines=LINES)
    decoders = DecoderPool(
        _front_share(settings, settings.max_live_decoders), _decoder_limits_of(settings, LIVE_NICENESS)
    )
    threads = _front_share(settings, half_of_cores())
    speakers = SpeakerStage(
        telemetry,
        (embedders or embedders_of(settings)).load,
        timeout_s=settings.speaker_timeout,
        size=threads,
    )
    stages = VadStage(telemetry), TurnStage(telemetry, size=threads)
    return LiveService(
        LiveContext(engine, stages[0], live, style, translator, telemetry, decoders, stages[1], speakers)
    )


def embedders_of(settings: Settings, on_failure: Callable[[], None] = lambda: None) -> EmbedderSource:
    """The speaker embedder, which loads nothing yet. `on_failure`: called in a thread after each failed load.

    Raises:
        SettingsError: it cannot be used here.
    """
    check_speaker_model(settings.speaker_model_id)
    return EmbedderSource(settings.speaker_model_id, on_failure)


def recordings_of(settings: Settings, engine: Engine, embedders: EmbedderSource | None = None) -> RecordingOpener:
    """Create the opener of recordings, which cuts them into pieces that the engine's backend accepts. Close it.
    `embedders`: shared with live streams; None = its own."""
    return opener_of(settings, longest_piece_s(settings, engine), embedders=embedders)


def opener_of(
    settings: Settings,
    max_piece_s: float,
    max_audio_s: float | None = None,
    embedders: EmbedderSource | None = None,
) -> RecordingOpener:
    """As `recordings_of`, for pieces of this length. `max_audio_s`: of a recording; None = that of the settings."""
    size = settings.max_decoders or max(LEAST_DECODERS, DECODERS_PER_CORE * (os.cpu_count() or 1))
    decoders = DecoderPool(_front_share(settings, size), _decoder_limits_of(settings, FILE_NICENESS))
    return RecordingOpener(
        RecordingReaderSettings(
            max_audio_s=max_audio_s or settings.max_audio_s,
            max_piece_s=max_piece_s,
            vad_threshold=settings.vad_threshold,
        ),
        decoders,
        SpeakerModel(embedders or embedders_of(settings)),
    )


@asynccontextmanager
async def archive_tools_of(settings: Settings, options: ArchiveOptions) -> AsyncIterator[StageTools]:
    """What the stages of an archive compute with in this process. Models are loaded when they are needed."""
    from steno.archive.piece_recognizer import EngineRecognizer
    from steno.archive.stages.stage import StageTools

    engine = engine_of(settings)
    opener = opener_of(settings, longest_piece_s(settings, engine), ARCHIVE_AUDIO_S)
    try:
        async with engine:
            yield StageTools(opener, EngineRecognizer(engine, settings.model_revision), options)
    finally:
        await opener.aclose()


def url_fetcher_of(settings: Settings) -> UrlFetcher | None:
    """Create the fetcher of recordings at URLs that clients name; None if they are not allowed. Close it.

    Raises:
        SettingsError: a scheme needs a package that is not installed.
    """
    return fetcher_of(settings) if settings.allow_urls else None


def fetcher_of(settings: Settings) -> UrlFetcher:
    """As `url_fetcher_of`, for URLs that the user of this process names."""
    from steno.outbound import object_store
    from steno.outbound.fetch import FetchLimits, UrlFetcher
    from steno.outbound.url_policy import WEB, policy_of

    for scheme in settings.url_schemes:
        if scheme not in WEB and (reason := object_store.missing(scheme)):
            raise SettingsError(f"URL_SCHEMES: {reason}", param="URL_SCHEMES")
    policy = policy_of(settings.url_schemes, settings.url_allowlist)
    return UrlFetcher(policy, FetchLimits(settings.max_upload_mb * 2**20, settings.url_timeout))


def longest_piece_s(settings: Settings, engine: Engine) -> float:
    """Max piece length of one backend call. An aligner gets the same pieces as the recogniser."""
    aligned_s = settings.align_piece_s if engine.aligner is not None else MAX_PIECE_S
    return min(MAX_PIECE_S, engine.capabilities.max_audio_s, aligned_s)


def _front_share(settings: Settings, size: int) -> int:
    """What one front has of a number of processes or threads, rounded up."""
    return -(-size // settings.fronts)


def _decoder_limits_of(settings: Settings, niceness: int) -> DecoderLimits:
    return DecoderLimits(settings.decoder_memory_mb, settings.decoder_cpu_s, niceness)
