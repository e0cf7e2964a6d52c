"""Downloads, from a server that speaks the hub's API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hollow import write_weights
from hub_server import HubServer, Repository
from steno.backends.qwen.checkpoint.model_source import CheckpointSource, ModelRef, cached_models, resolve
from steno.errors import ModelLoadError, SettingsError

pytest.importorskip("huggingface_hub", reason="downloads need it: pip install 'steno[qwen]'")

from huggingface_hub import constants

from steno.backends.qwen.checkpoint import download

NAME = "Qwen/Qwen3-ASR-tiny"
WEIGHTS = "model.safetensors"
Make = Callable[..., Path]


def silent(_: float, __: str) -> None: ...


@pytest.fixture
def hub(hollow: Make, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    folder = hollow("on-the-hub")
    write_weights(folder / WEIGHTS, {"a": (1000, 1000)})
    (folder / "README.md").write_text("not needed")
    (folder / "pytorch_model.bin").write_text("not needed")
    monkeypatch.setattr(download, "WAIT_S", 0.01)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "no-token"))
    with HubServer({NAME: Repository(folder)}) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield server


@pytest.fixture
def pull(tmp_path: Path) -> Callable[..., CheckpointSource]:
    def pull(
        name: str = NAME, revision: str | None = None, refresh: bool = False, reports: object = silent
    ) -> CheckpointSource:
        assert callable(reports)
        return resolve(ModelRef(name, revision, ("*",), tmp_path / "home"), reports, refresh=refresh)

    return pull


Pull = Callable[..., CheckpointSource]


def test_a_model_is_downloaded_once_and_only_what_is_needed_of_it(hub: HubServer, pull: Pull, tmp_path: Path) -> None:
    reports: list[tuple[float, str]] = []
    found = pull(reports=lambda done, what: reports.append((done, what)))
    assert (found.model_id, found.kind, found.parameters) == (NAME, "recogniser", 1_000_000)
    assert found.folder.is_relative_to(tmp_path / "home" / "hub")
    names = {name for name, _ in hub.fetched()}
    assert names == {"config.json", "tokenizer.json", "tokenizer_config.json", "processor_config.json", WEIGHTS}
    parts = [done for done, _ in reports]
    assert parts == sorted(parts)
    assert parts[-1] == 1.0
    assert reports[-1][1] == f"downloading {WEIGHTS}"
    hub.requests.clear()
    assert pull() == found
    assert hub.requests == []
    assert cached_models(tmp_path / "home") == [NAME]


def test_weights_that_are_not_needed_are_fetched_when_they_are(hub: HubServer, pull: Pull, tmp_path: Path) -> None:
    wanted = ModelRef(NAME, None, ("*",), tmp_path / "home", weights=False)
    found = resolve(wanted, silent)
    names = [name for name, _ in hub.fetched()]
    assert sorted(names) == ["config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"]
    assert resolve(wanted, silent).folder == found.folder
    assert pull().parameters == 1_000_000
    assert [name for name, _ in hub.fetched()] == [*names, WEIGHTS]


def test_nothing_is_written_to_the_terminal(hub: HubServer, pull: Pull, capfd: pytest.CaptureFixture[str]) -> None:
    pull()
    assert capfd.readouterr() == ("", "")


def test_a_connection_that_breaks_midway_is_taken_up_where_it_ended(hub: HubServer, pull: Pull) -> None:
    hub.cuts = [700_000, 600_000]
    pull()
    ranges = [range_ for name, range_ in hub.fetched() if name == WEIGHTS]
    assert ranges == [None, "bytes=700000-", "bytes=1300000-"]


def test_one_that_keeps_breaking_is_given_up_and_the_next_try_goes_on_from_there(hub: HubServer, pull: Pull) -> None:
    hub.cuts = [700_000, 0, 0, 0, 0, 0]
    with pytest.raises(ModelLoadError) as failed:
        pull()
    assert failed.value.message == (
        f"{NAME} could not be downloaded: {hub.url} does not answer (RemoteProtocolError); check the network "
        "(HTTPS_PROXY, HF_ENDPOINT), or use a local folder; the partial download is kept"
    )
    hub.requests.clear()
    hub.cuts = []
    assert pull().parameters == 1_000_000
    assert hub.fetched() == [(WEIGHTS, "bytes=700000-")]


def test_whoever_watches_can_stop_a_download_and_what_is_there_is_kept(hub: HubServer, pull: Pull) -> None:
    def stop(_: float, what: str) -> None:
        if WEIGHTS in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(reports=stop)
    hub.requests.clear()
    pull()
    assert [(name, range_ is not None) for name, range_ in hub.fetched()] == [(WEIGHTS, True)]


def test_a_token_goes_to_the_hub_and_not_to_the_place_of_the_large_files(
    hub: HubServer, pull: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.models[NAME].private = True
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert pull().kind == "recogniser"
    assert hub.tokens_elsewhere == []


def test_a_model_that_is_not_on_the_hub_is_refused(hub: HubServer, pull: Pull) -> None:
    with pytest.raises(SettingsError) as refused:
        pull("Qwen/no-such-model")
    assert refused.value.message == (
        f"there is no model Qwen/no-such-model on {hub.url}, or it is private: correct MODEL_ID, or set HF_TOKEN"
    )
    assert refused.value.param == "MODEL_ID"


def test_a_private_model_is_the_same_as_none(hub: HubServer, pull: Pull) -> None:
    hub.models[NAME].private = True
    with pytest.raises(SettingsError, match="or it is private"):
        pull()


def test_a_gated_model_says_where_its_terms_are(hub: HubServer, pull: Pull) -> None:
    hub.models[NAME].gated = True
    with pytest.raises(ModelLoadError) as refused:
        pull()
    assert refused.value.message == (
        f"{NAME} is gated: accept its terms at {hub.url}/{NAME} and set HF_TOKEN to your token"
    )


def test_a_revision_that_is_not_there_is_named(hub: HubServer, pull: Pull) -> None:
    with pytest.raises(SettingsError) as refused:
        pull(revision="v9")
    assert refused.value.message == f"{NAME} has no revision 'v9'; correct MODEL_REVISION"
    assert pull(revision="c" * 40).kind == "recogniser"


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "correct HF_TOKEN, or unset it"), (403, "correct HF_TOKEN, or unset it"), (429, "try again later"),
     (418, "check MODEL_ID and HF_ENDPOINT"), (503, "try again later")],
)  # fmt: skip
def test_a_hub_that_refuses_is_passed_on(hub: HubServer, pull: Pull, status: int, advice: str) -> None:
    hub.status = status
    with pytest.raises(ModelLoadError) as refused:
        pull()
    assert str(status) in refused.value.message
    assert advice in refused.value.message


def test_something_else_in_the_hub_s_place_is_noticed(hub: HubServer, pull: Pull) -> None:
    hub.status = 200
    with pytest.raises(ModelLoadError, match="does not answer like the Hugging Face hub"):
        pull()


def test_a_hub_that_is_not_there_is_named(hub: HubServer, pull: Pull, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelLoadError, match=r"http://127\.0\.0\.1:9 does not answer"):
        pull()


def test_offline_takes_what_is_there_and_names_what_is_not(
    hub: HubServer, pull: Pull, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelLoadError) as refused:
        pull()
    assert refused.value.message == (
        f"{NAME} is not in the cache ({tmp_path}/home/hub) and HF_HUB_OFFLINE is set: unset it, or copy the model there"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    folder = pull().folder
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert pull(refresh=True).folder == folder
    (folder / WEIGHTS).unlink()
    with pytest.raises(ModelLoadError) as incomplete:
        pull()
    assert incomplete.value.message == (
        f"{NAME} has no weights: there is neither model.safetensors nor model.safetensors.index.json; "
        "HF_HUB_OFFLINE is set: unset it"
    )
    assert hub.requests == []


def truncated(data: bytes) -> bytes:
    return data[:1000]


def overwritten(data: bytes) -> bytes:
    return b"#" * len(data)


@pytest.mark.parametrize("damage", [truncated, overwritten])
def test_a_damaged_copy_in_the_cache_is_replaced(
    hub: HubServer, pull: Pull, damage: Callable[[bytes], bytes], logs: list[str]
) -> None:
    file = pull().folder / WEIGHTS
    whole = file.read_bytes()
    file.resolve().write_bytes(damage(whole))
    assert (pull().folder / WEIGHTS).read_bytes() == whole
    assert any(f"the cached copy of {NAME} is not usable" in line for line in logs)


def test_damage_that_no_header_shows_is_found_by_a_refresh(hub: HubServer, pull: Pull) -> None:
    file = pull().folder / WEIGHTS
    whole = file.read_bytes()
    file.resolve().write_bytes(whole[:-1] + b"x")
    pull()
    assert file.read_bytes() != whole
    pull(refresh=True)
    assert file.read_bytes() == whole


def test_a_refresh_takes_what_is_new_and_leaves_what_is_the_same(hub: HubServer, pull: Pull) -> None:
    old = pull()
    repository = hub.models[NAME]
    (repository.folder / "tokenizer_config.json").write_text('{"new": true}')
    repository.commit = "d" * 40
    assert pull() == old
    hub.requests.clear()
    new = pull(refresh=True)
    assert new.folder.name == "d" * 40
    assert [name for name, _ in hub.fetched()] == ["tokenizer_config.json"]


def test_what_arrives_otherwise_than_it_was_sent_is_thrown_away(hub: HubServer, pull: Pull, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        pull(reports=_stop_at_weights)
    (part,) = (tmp_path / "home").glob("hub/models--*/blobs/*.incomplete")
    part.write_bytes(b"x" * part.stat().st_size)
    with pytest.raises(ModelLoadError, match="SHA-256 mismatch"):
        pull()
    assert pull().kind == "recogniser"


def _stop_at_weights(_: float, what: str) -> None:
    if WEIGHTS in what:
        raise KeyboardInterrupt


def test_a_disk_without_room_is_refused_before_anything_is_fetched(
    hub: HubServer, pull: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steno.backends.qwen.checkpoint import hub as module

    monkeypatch.setattr(module, "DISK_MARGIN", 10**18)
    with pytest.raises(ModelLoadError, match=r"needs 1000000000\.0 GB of disk in .*set HF_HOME to a folder"):
        pull()
    assert hub.fetched() == []


def test_a_model_of_another_kind_is_refused_after_the_download(hub: HubServer, pull: Pull) -> None:
    (hub.models[NAME].folder / "config.json").write_text('{"model_type": "whisper"}')
    with pytest.raises(SettingsError, match="is a whisper checkpoint, not Qwen3-ASR"):
        pull()
