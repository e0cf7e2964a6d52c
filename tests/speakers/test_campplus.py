"""The shipped network and its features give the embeddings of the original."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from speakers.speaker_graphs import CAMPPLUS, DATA, RECORDINGS, REFERENCE, audio_of, windows_of
from steno.onnx_session import open_session
from steno.speakers.campplus import CampplusEmbedder
from steno.speakers.embedder import unit_rows
from steno.speakers.filter_banks import filter_banks, povey

reference = np.load(REFERENCE)


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_filter_banks_are_kaldis(name: str) -> None:
    found = filter_banks(windows_of(audio_of(name))[:1], povey)[0]
    np.testing.assert_allclose(found, reference[f"{name}_banks"], atol=2e-3)


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_network_gives_the_embeddings_of_the_original(name: str) -> None:
    session = open_session(CAMPPLUS)
    found = unit_rows(session.run(None, {"banks": filter_banks(windows_of(audio_of(name)), povey)})[0])
    np.testing.assert_allclose(found, reference[f"{name}_embeddings"], atol=2e-3)


def test_a_quiet_recording_has_the_same_voice() -> None:
    windows = windows_of(audio_of("letter"))
    embedder = CampplusEmbedder()
    loud, quiet = embedder.embed(windows), embedder.embed(windows * np.float32(0.01))
    assert (loud * quiet).sum(axis=1).min() > 0.999


def test_silence_has_an_embedding_without_nan() -> None:
    assert np.isfinite(CampplusEmbedder().embed(np.zeros((1, 24_000), np.float32))).all()


def test_the_checksum_in_the_readme_is_the_files() -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(CAMPPLUS.read_bytes()).hexdigest() in readme
