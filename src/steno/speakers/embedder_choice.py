"""`SPEAKER_MODEL_ID` → an embedder."""

from __future__ import annotations

from pathlib import Path

from steno.errors import ModelLoadError, SettingsError
from steno.speakers.embedder import SpeakerEmbedder

PYANNOTE = "pyannote/"


def check_speaker_model(model_id: str | None) -> None:
    """Raises SettingsError if the model cannot be used here; loads nothing."""
    if model_id is None:
        return
    if model_id.startswith(PYANNOTE):
        from steno.speakers.pyannote_embedder import pyannote_missing

        if missing := pyannote_missing():
            raise SettingsError(f"SPEAKER_MODEL_ID={model_id}: {missing}", param="SPEAKER_MODEL_ID")
    elif not Path(model_id).is_file():
        expected = "the path of an ONNX file, or pyannote/…"
        raise SettingsError(f"SPEAKER_MODEL_ID={model_id} is no file; expected {expected}", param="SPEAKER_MODEL_ID")


def load_embedder(model_id: str | None) -> SpeakerEmbedder:
    """The embedder; None = the one that steno ships. Takes up to seconds. Raises ModelLoadError."""
    try:
        return _loaded(model_id)
    except ModelLoadError:
        raise
    except Exception as error:  # of ONNX Runtime or pyannote
        raise ModelLoadError("the speaker network cannot be loaded; the server's log has the reason") from error


def _loaded(model_id: str | None) -> SpeakerEmbedder:
    if model_id is None:
        from steno.speakers.campplus import CampplusEmbedder

        return CampplusEmbedder()
    if model_id.startswith(PYANNOTE):
        from steno.speakers.pyannote_embedder import PyannoteEmbedder

        return PyannoteEmbedder(model_id)
    from steno.speakers.onnx_embedder import OnnxEmbedder

    return OnnxEmbedder(Path(model_id))
