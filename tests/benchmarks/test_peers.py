"""`benchmarks.peers`: what it writes for peers is the same checkpoint, and it reports every part."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

import torch
from transformers import Qwen3ASRConfig, Qwen3ASRForConditionalGeneration, Qwen3ASRProcessor

from benchmarks.peering.original_weights import merges, vocabulary, write_original
from steno.backends.qwen.checkpoint.loader import load_recogniser
from steno.backends.qwen.engine_options import LoadOptions
from tiny.clips import ASR

ROOT = Path(__file__).parent.parent.parent
VOCABULARY = 151_936
TEXT = {
    "model_type": "qwen3", "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 64, "tie_word_embeddings": True,
}  # fmt: skip
AUDIO = {
    "d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 128, "output_dim": 64,
    "downsample_hidden_size": 32,
}  # fmt: skip


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with the vocabulary that peers have built in."""
    folder = tmp_path_factory.mktemp("native")
    small = Qwen3ASRConfig.from_pretrained(ASR)
    ids = {name: getattr(small, name) for name in ("audio_token_id", "timestamp_token_id", "pad_token_id")}
    torch.manual_seed(0)
    config = Qwen3ASRConfig(audio_config=AUDIO, text_config=TEXT, eos_token_id=small.eos_token_id, **ids)
    Qwen3ASRForConditionalGeneration(config).bfloat16().save_pretrained(folder)
    Qwen3ASRProcessor.from_pretrained(ASR).save_pretrained(folder)
    return folder


def test_the_checkpoint_for_peers_is_read_with_the_same_weights(native: Path, tmp_path: Path) -> None:
    written = write_original(native, tmp_path / "original")
    one, other = (
        load_recogniser(LoadOptions(str(folder), device="cpu"), lambda *_: None) for folder in (native, written)
    )
    assert other.source.layout == "original"
    weights = other.model.state_dict()
    assert weights.keys() == one.model.state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in one.model.state_dict().items())


def test_every_token_has_a_text_of_its_own_and_the_prompt_its_usual_length(native: Path, tmp_path: Path) -> None:
    written = write_original(native, tmp_path / "original")
    assert len(set(vocabulary(VOCABULARY))) == VOCABULARY
    assert "languag e" in merges()
    processor = load_recogniser(LoadOptions(str(written), device="cpu"), lambda *_: None).processor
    assert len(processor.tokenizer("language English<asr_text>")["input_ids"]) == 3
    assert processor.tokenizer("<|im_start|>system\n")["input_ids"] == [151644, 8948, 198]


def test_a_checkpoint_without_the_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="peers read Qwen3-ASR's vocabulary alone"):
        write_original(ASR, tmp_path / "original")


@pytest.mark.slow
def test_it_reports_every_part_of_each_way(tmp_path: Path) -> None:
    summary = _run(tmp_path, "--model", str(ASR))
    for way in ("int8", "fp32", "bf16"):
        for part in ("encoder", "prefill", "first_token", "decode", "clip"):
            assert summary[f"{way}_{part}_ms"] > 0
    assert not [name for name in summary if "_over_" in name]


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("transcribe_cpp") or not find_spec("gguf"), reason="pip install transcribe-cpp gguf")
def test_ggml_is_a_peer(tmp_path: Path, native: Path) -> None:
    summary = _run(tmp_path, "--model", str(native), "--ways", "int8", "--ggml-python", sys.executable)
    for part in ("encoder", "prefill", "first_token", "decode", "clip"):
        assert summary[f"{part}_ggml_q8_over_steno"] > 0
        assert summary[f"{part}_ggml_bf16_over_steno"] > 0


def _run(folder: Path, *options: str) -> dict[str, float]:
    report = folder / "report.json"
    command = [sys.executable, "-m", "benchmarks.peers", "--quick", "--json", str(report), *options]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=200)
    summary: dict[str, float] = json.loads(report.read_text(encoding="utf-8"))["summary"]
    return summary
