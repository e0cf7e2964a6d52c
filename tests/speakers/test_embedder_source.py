from __future__ import annotations

from pathlib import Path

import pytest

from steno.errors import ModelLoadError
from steno.pipelines.speaker_model import SpeakerModel
from steno.speakers import campplus
from steno.speakers.embedder_source import EmbedderSource


async def test_a_damaged_network_of_the_installation_is_reported_logged_and_counted(
    tmp_path: Path, logs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "campplus.onnx").write_text("no network")
    failures: list[None] = []
    source = EmbedderSource(on_failure=lambda: failures.append(None))
    model = SpeakerModel(source)
    with monkeypatch.context() as patch:
        patch.setattr(campplus, "_MODEL", tmp_path / "campplus.onnx")
        with pytest.raises(ModelLoadError, match=r"the server's log has the reason"):
            await model.run(lambda embedder: embedder.dimension)
    assert len(failures) == 1
    assert sum("the speaker network cannot be loaded" in line for line in logs) == 1
    assert source.load().dimension == 192
    model.close()
