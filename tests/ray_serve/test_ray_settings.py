"""Which settings the application takes from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from steno.deploy.ray import AppOptions, app, load_settings
from steno.errors import SettingsError


@pytest.mark.parametrize("fronts", [1, 2])
def test_stored_jobs_are_refused_by_name(fronts: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JOBS_DB", str(tmp_path / "jobs.db"))
    with pytest.raises(SettingsError, match=r"JOBS_DB=.*jobs\.db: .* under Ray Serve; unset it") as caught:
        app(AppOptions(fronts=fronts))
    assert caught.value.param == "JOBS_DB"
    assert not (tmp_path / "jobs.db").exists()


def test_each_front_has_its_limits_undivided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRONTS", "4")
    monkeypatch.setenv("DRAIN_TIMEOUT", "7")
    config = load_settings()
    assert (config.fronts, config.has_worker, config.drain_timeout) == (1, False, 7.0)
