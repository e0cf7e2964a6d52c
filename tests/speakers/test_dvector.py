"""The shipped network and its features give the embeddings of the original."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from speakers.dvector_graph import RECORDINGS, REFERENCE, SHIPPED, windows_of
from steno.audio.decode import decode
from steno.speakers.dvector import DvectorEmbedder
from steno.speakers.mel import mel_spectrogram

reference = np.load(REFERENCE)


def audio_of(name: str) -> np.ndarray:
    return np.concatenate(list(decode(RECORDINGS[name], max_seconds=None)))


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_mel_spectrogram_is_librosas(name: str) -> None:
    found = mel_spectrogram(windows_of(audio_of(name))[:1])[0]
    assert found.shape == reference[f"{name}_mel"].shape
    np.testing.assert_allclose(found, reference[f"{name}_mel"], atol=1e-5)


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_network_gives_the_embeddings_of_the_original(name: str) -> None:
    session = onnxruntime.InferenceSession(SHIPPED, providers=["CPUExecutionProvider"])
    found = session.run(None, {"mel": mel_spectrogram(windows_of(audio_of(name)))})[0]
    np.testing.assert_allclose(found, reference[f"{name}_embeddings"], atol=1e-3)


def test_a_quiet_recording_has_the_same_voice() -> None:
    windows = windows_of(audio_of("letter"))
    embedder = DvectorEmbedder()
    loud, quiet = embedder.embed(windows), embedder.embed(windows * np.float32(0.05))
    assert (loud * quiet).sum(axis=1).min() > 0.99


def test_silence_has_an_embedding_without_nan() -> None:
    assert np.isfinite(DvectorEmbedder().embed(np.zeros((1, 24_000), np.float32))).all()


def test_the_checksum_in_the_readme_is_the_files() -> None:
    readme = (Path(SHIPPED).parent / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(SHIPPED.read_bytes()).hexdigest() in readme
