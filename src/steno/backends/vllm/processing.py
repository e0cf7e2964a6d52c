"""What one checkpoint's processor does around the model: prompts, feature windows, parsing of the output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steno.backends.qwen.checkpoint.loader import read_processor
from steno.backends.qwen3_asr.frontend import Frontend
from steno.backends.qwen3_asr.log_mel import LogMel
from steno.backends.qwen3_asr.output import OutputParser
from steno.backends.qwen3_asr.prompt import PromptBuilder

if TYPE_CHECKING:
    from steno.backends.qwen.checkpoint.model_source import CheckpointSource

STOP_TOKENS = ("<|im_end|>", "<|endoftext|>")


class Processing:
    """Prompt builder, output parser and feature extractor of one checkpoint. The weights are not read."""

    def __init__(self, source: CheckpointSource) -> None:
        processor: Any = read_processor(source)
        self.folder = source.folder
        self.prompt_builder = PromptBuilder(processor)
        self.output_parser = OutputParser(processor)
        self.audio_token_id: int = processor.tokenizer.convert_tokens_to_ids(processor.audio_token)
        ids: list[int] = processor.tokenizer.convert_tokens_to_ids(list(STOP_TOKENS))
        self.stop_token_ids = frozenset(ids)
        self.vocabulary = len(processor.tokenizer)
        """Token ids are below it."""
        self._frontend = Frontend(processor)

    def new_log_mel(self) -> LogMel:
        return LogMel(self._frontend)
