"""`steno live`: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

import pytest
import srt
import webvtt

from command_line import run_command
from llm_server import LlmServer
from running import EMBEDDED, PATIENCE_S, RunningServer, until
from speech import word_error_rate
from talking import BYTES_PER_S, pcm_file

SCRIPTED = {**{k: v for k, v in os.environ.items() if not k.startswith("STENO_")}, "ASR_BACKEND": "scripted"}
LIVE = [sys.executable, "-m", "steno", "live"]
LETTER = "w0 w1 w2 w3 w4 w5 w6"


def live(*words: str | Path, stdin: Path | str = os.devnull, **more: str) -> subprocess.CompletedProcess[str]:
    return run_command("live", *words, environment={**SCRIPTED, **more}, stdin=stdin)


def live_process(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """For a `PYTHONPATH` of its own."""
    return subprocess.run([*LIVE, *words], capture_output=True, text=True, timeout=PATIENCE_S, env={**SCRIPTED, **more})


@contextmanager
def started(*words: str | Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*LIVE, *words], stdout=PIPE, stderr=PIPE, text=True, start_new_session=True, env={**SCRIPTED, **more}
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted", API_KEYS="k") as server:
        yield server


@pytest.fixture(scope="module")
def talk(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sentences with pauses between them, 21 s, as raw PCM16."""
    pause = bytes(BYTES_PER_S)
    path = tmp_path_factory.mktemp("talk") / "talk.pcm"
    path.write_bytes(pause.join([pcm_file(fixtures / "weather.flac"), pcm_file(fixtures / "letter.flac")] * 2) + pause)
    return path


# what is printed


def test_into_a_pipe_goes_a_plain_line_for_each_utterance(talk: Path) -> None:
    ended = live("-", stdin=talk)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("w0 w1 w2") for line in lines)
    assert "\x1b" not in ended.stdout
    assert ended.stderr == ""


def test_a_server_hears_the_same(server: RunningServer, talk: Path) -> None:
    here = live("-", "--json", "--words", stdin=talk)
    there = live("-", "--json", "--words", "--url", server.url, "--api-key", "k", stdin=talk)
    assert there.returncode == 0, there.stderr
    finals = [[e for e in map(json.loads, run.stdout.splitlines()) if e["is_final"]] for run in (here, there)]
    assert finals[0] == finals[1]
    assert len(finals[0]) == 4
    assert [word["word"] for word in finals[0][0]["words"]] == finals[0][0]["text"].split()


def test_real_speech_is_understood(fixtures: Path) -> None:
    ended = live("--fast", fixtures / "market.flac", ASR_BACKEND=EMBEDDED)
    assert word_error_rate("market.flac", ended.stdout) <= 0.45


@pytest.mark.slow
@pytest.mark.parametrize("url", [False, True])
def test_turn_detection_is_asked_for(fixtures: Path, server: RunningServer, url: bool) -> None:
    where = ("--url", server.url, "--api-key", "k") if url else ()
    ended = live(fixtures / "letter.flac", "--fast", "--turn-detection", "smart", "--json", *where)
    finals = [line for line in map(json.loads, ended.stdout.splitlines()) if line["is_final"]]
    assert "".join(line["text"] for line in finals).startswith("w0 w1")
    refused = live(fixtures / "letter.flac", "--turn-detection", "clever", *where)
    assert "'clever' is not one of 'silence', 'smart'" in refused.stderr


def test_a_file_takes_as_long_as_it_was_spoken_unless_it_need_not(fixtures: Path) -> None:
    began = time.monotonic()
    assert live("--fast", fixtures / "address.opus").stdout.startswith("w0 w1 w2")
    assert time.monotonic() - began < 60, "it was spoken for 67 s"
    began = time.monotonic()
    assert live(fixtures / "letter.flac").stdout == LETTER + "\n"
    assert time.monotonic() - began > 3.6


def test_json_has_partials_that_settle(fixtures: Path) -> None:
    *partials, final = map(json.loads, live("--json", fixtures / "letter.flac").stdout.splitlines())
    assert len(partials) >= 4
    for partial in partials:
        assert partial["stable"] + partial["draft"] == partial["text"]
        assert final["text"].startswith(partial["stable"])
    assert (final["is_final"], final["text"], final["segment_id"]) == (True, LETTER, 0)
    assert "words" not in final


def test_standard_input_may_be_in_another_encoding(fixtures: Path, tmp_path: Path) -> None:
    (tmp_path / "half").write_bytes(bytes(8000))
    ended = live("-", "--encoding", "mulaw", "--sample-rate", "8000", stdin=tmp_path / "half")
    assert (ended.returncode, ended.stdout) == (0, "")


def test_translations_stand_below_what_was_said(fixtures: Path, tmp_path: Path) -> None:
    with LlmServer() as llm:
        ended = live(
            "--fast", fixtures / "letter.flac", "--translate-to", "fr", "--srt", tmp_path / "a.srt",
            OPENAI_BASE_URL=llm.url, TRANSLATE_MODEL="m",
        )  # fmt: skip
    assert ended.stdout == f"{LETTER}\n  {LETTER} (fr)\n", ended.stderr
    said, translated = ((tmp_path / name).read_text() for name in ("a.srt", "a.fr.srt"))
    assert [cue.content for cue in srt.parse(said)] == [LETTER]
    assert [cue.content for cue in srt.parse(translated)] == [f"{LETTER} (fr)"]


def seen_in_a_terminal(*words: str | Path) -> str:
    leader, follower = pty.openpty()
    environment = {**SCRIPTED, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    with subprocess.Popen([*LIVE, *words], stdout=follower, stderr=follower, env=environment) as running:
        os.close(follower)
        seen = b""
        try:
            while data := os.read(leader, 4096):
                seen += data
        except OSError:  # Linux says EIO when the other side has closed
            pass
        os.close(leader)
        assert running.wait(PATIENCE_S) == 0
    return seen.decode()


@pytest.mark.slow
def test_in_a_terminal_the_draft_is_dim_what_is_stable_is_bright_and_finals_stay(fixtures: Path) -> None:
    shown = seen_in_a_terminal(fixtures / "letter.flac")
    assert "\x1b[1mw0 w1\x1b[0m\x1b[2m w2" in shown
    assert f"\x1b[2m00:00\x1b[0m  {LETTER}\r\n" in shown
    after = shown.split(LETTER)[-1]
    assert "w0" not in after, "nothing of the partial is left below the final"


# subtitles


def srt_cues(file: Path) -> list[srt.Subtitle]:
    return list(srt.parse(file.read_text(), ignore_errors=False))


@pytest.mark.slow
def test_subtitle_files_are_valid_at_every_moment(talk: Path, tmp_path: Path) -> None:
    files = tmp_path / "a.srt", tmp_path / "deep" / "a.vtt"
    counts: list[int] = []
    with subprocess.Popen(
        [*LIVE, "-", "--srt", files[0], "--vtt", files[1]], stdin=PIPE, stdout=PIPE, text=False, env=SCRIPTED
    ) as running:
        assert running.stdin is not None
        until(lambda: files[1].exists() and files[1].stat().st_size > 0)
        for n in range(0, talk.stat().st_size, BYTES_PER_S // 4):
            running.stdin.write(talk.read_bytes()[n : n + BYTES_PER_S // 4])
            running.stdin.flush()
            time.sleep(0.05)
            before, inside, after = srt_cues(files[0]), webvtt.from_string(files[1].read_text()), srt_cues(files[0])
            assert len(before) - 1 <= len(inside) <= len(after)  # one is written after the other
            counts.append(len(after))
        running.stdin.close()
    assert sorted(set(counts)) != [0], "it was not written on the way"
    cues = srt_cues(files[0])
    assert [cue.index for cue in cues] == list(range(1, len(cues) + 1))
    assert len(cues) >= 4
    assert [cue.text for cue in webvtt.read(files[1])] == [cue.content for cue in cues]


def test_a_subtitle_file_that_cannot_be_written_is_named(fixtures: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = live("--fast", fixtures / "letter.flac", "--srt", tmp_path / "file" / "a.srt")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"steno: {tmp_path / 'file'}")
    assert len(ended.stderr.splitlines()) == 1


def test_yesterday_s_subtitles_are_kept_where_nothing_comes_of_today_s(
    server: RunningServer, fixtures: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.vtt").write_text("WEBVTT\n\nyesterday's\n")
    ended = live(fixtures / "letter.flac", "--vtt", tmp_path / "a.vtt", "--url", server.url, "--api-key", "wrong")
    assert ended.returncode == 1
    assert (tmp_path / "a.vtt").read_text() == "WEBVTT\n\nyesterday's\n"
    ended = live(fixtures / "letter.flac", "--fast", "--vtt", tmp_path / "a.vtt")
    assert [cue.text for cue in webvtt.read(tmp_path / "a.vtt")] == [ended.stdout.strip()]
    live("-", "--vtt", tmp_path / "a.vtt", stdin=os.devnull)
    assert (tmp_path / "a.vtt").read_text() == "WEBVTT\n\n"


def test_the_recording_is_not_overwritten(fixtures: Path, tmp_path: Path) -> None:
    recording = tmp_path / "talk.srt"
    recording.write_bytes((fixtures / "letter.flac").read_bytes())
    ended = live(recording, "--fast", "--srt", recording)
    assert ended.returncode == 2
    assert "is the recording" in ended.stderr
    assert recording.read_bytes() == (fixtures / "letter.flac").read_bytes()


# how it ends


@pytest.mark.parametrize("at", ["here", "there"])
def test_ctrl_c_ends_with_the_last_words_and_130(
    server: RunningServer, fixtures: Path, tmp_path: Path, at: str
) -> None:
    url = ["--url", server.url, "--api-key", "k"] if at == "there" else []
    with started("--json", fixtures / "address.opus", "--srt", tmp_path / "a.srt", *url) as running:
        assert running.stdout is not None
        seen = [running.stdout.readline() for _ in range(3)]
        os.killpg(running.pid, signal.SIGINT)
        rest, errors = running.communicate(timeout=PATIENCE_S)
    last = json.loads((seen + rest.splitlines())[-1])
    assert last["is_final"]
    assert last["text"].startswith("w0 w1")
    assert errors == "steno: interrupted; all audio before the interrupt was recognised\n"
    assert running.returncode == 130
    assert [cue.content for cue in srt.parse((tmp_path / "a.srt").read_text())] == [last["text"]]


@pytest.mark.slow
def test_a_second_ctrl_c_does_not_wait(fixtures: Path) -> None:
    with started("--json", fixtures / "address.opus", MODEL_ID="scripted@1000ms") as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert running.poll() is None, "it waits for the last words"
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=PATIENCE_S)
    assert (running.returncode, errors) == (130, "steno: interrupted\n")


def test_ctrl_c_is_heard_while_standard_input_is_silent(talk: Path) -> None:
    with subprocess.Popen([*LIVE, "-", "--json"], stdin=PIPE, stdout=PIPE, stderr=PIPE, env=SCRIPTED) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(talk.read_bytes()[: 2 * BYTES_PER_S])
        running.stdin.flush()
        running.stdout.readline()  # it listens
        running.send_signal(signal.SIGINT)
        running.wait(PATIENCE_S)
    assert running.returncode == 130


def test_who_reads_no_further_ends_it_quietly(talk: Path) -> None:
    command = f"{sys.executable} -m steno live - --json < {talk} | head -1"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=SCRIPTED, timeout=PATIENCE_S)
    assert json.loads(ended.stdout)["segment_id"] == 0
    assert ended.stderr == ""


@pytest.mark.slow
def test_a_connection_that_is_lost_is_told_and_taken_up_again(talk: Path) -> None:
    undisturbed = live("-", stdin=talk).stdout
    with (
        RunningServer(ASR_BACKEND="scripted") as first,
        subprocess.Popen(
            [*LIVE, "-", "--url", first.url], bufsize=0, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=SCRIPTED
        ) as running,
    ):
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(talk.read_bytes()[: 14 * BYTES_PER_S])
        text = running.stdout.readline()
        first.process.kill()
        first.process.wait()
        with RunningServer(ASR_BACKEND="scripted", PORT=first.url.rpartition(":")[2]):
            rest, errors = running.communicate(talk.read_bytes()[14 * BYTES_PER_S :], timeout=PATIENCE_S)
    assert (text + rest).decode() == undisturbed
    assert errors.startswith(b"steno: the connection to the server was lost")
    assert running.returncode == 0


# what cannot be


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "expected one input: FILE, - for standard input, or --mic"),
        (["a.wav", "--mic"], 2, "expected one input"),
        (["--device", "1", "a.wav"], 2, "--device needs --mic"),
        (["--words", "a.wav"], 2, "--words needs --json"),
        (["none.wav"], 1, "steno: none.wav: No such file or directory"),
        (["."], 2, ". is a folder"),
        ([__file__], 1, "test_live.py: This is not an audio file"),
        (["--language", "Klingon", "FIXTURE"], 1, "Klingon"),
        (["--translate-to", "fr", "FIXTURE"], 1, "OPENAI_BASE_URL"),
        (["--srt", "a", "--vtt", "a", "FIXTURE"], 2, "--srt and --vtt must be different files"),
        (["--url", "http://127.0.0.1:9", "FIXTURE"], 1, "steno: no response from http://127.0.0.1:9/: is the"),
        (["--url", "localhost", "FIXTURE"], 2, "invalid server URL 'localhost'"),
    ],
)
def test_errors_say_what_is_wrong(fixtures: Path, words: list[str], code: int, message: str) -> None:
    ended = live(*(str(fixtures / "letter.flac") if word == "FIXTURE" else word for word in words), OPENAI_BASE_URL="")
    assert message in ended.stderr
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_a_file_on_standard_input_is_not_taken_for_samples(fixtures: Path) -> None:
    ended = live("-", stdin=fixtures / "letter.flac")
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        "steno: standard input is a FLAC file, but --encoding pcm_s16le is raw audio: pipe it"
    )
    ended = live("-", "--encoding", "mulaw", stdin=fixtures / "address.opus")
    assert "use --encoding ogg" in ended.stderr


def test_a_wrong_key_is_said(server: RunningServer, fixtures: Path) -> None:
    ended = live(fixtures / "letter.flac", "--url", server.url, "--api-key", "wrong")
    assert (ended.returncode, ended.stderr) == (1, "steno: the API key is invalid\n")


def test_help_teaches() -> None:
    helped = subprocess.run([*LIVE, "--help"], capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout
    for taught in ("steno live --mic", "ffmpeg -i", "Ctrl-C", "--srt"):
        assert taught in helped
    listed = subprocess.run([sys.executable, "-m", "steno", "--help"], capture_output=True, text=True, check=True)
    assert "steno live --mic" in listed.stdout


# --mic, with a package of the test's own in place of sounddevice

MICROPHONE = """
import threading, time
class PortAudioError(Exception): pass
class RawInputStream:
    def __init__(self, *, samplerate, blocksize, device, channels, dtype, callback):
        if device == "none": raise PortAudioError("no such device")
        assert (samplerate, channels, dtype) == (16000, 1, "int16")
        self._callback, self._pcm, self._size = callback, open({path!r}, "rb").read(), blocksize * 2
    def __enter__(self):
        self._going = True
        threading.Thread(target=self._run, daemon=True).start()
    def __exit__(self, *_):
        self._going = False
    def _run(self):
        for n in range(0, len(self._pcm), self._size):
            if not self._going: return
            self._callback(memoryview(self._pcm[n:n + self._size]), self._size // 2, None, None)
            time.sleep(0.02)
"""


@pytest.fixture
def microphone(talk: Path, tmp_path: Path) -> str:
    """A PYTHONPATH with it."""
    (tmp_path / "sounddevice.py").write_text(MICROPHONE.format(path=str(talk)))
    return str(tmp_path)


def test_a_microphone_is_heard_until_ctrl_c(microphone: str) -> None:
    with started("--mic", PYTHONPATH=microphone) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("w0 w1 w2")
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=PATIENCE_S)
    assert (running.returncode, errors) == (0, "")


def test_a_microphone_that_is_not_there_is_an_error(microphone: str, tmp_path: Path) -> None:
    ended = live_process("--mic", "--device", "none", PYTHONPATH=microphone)
    assert (ended.returncode, ended.stderr) == (1, "steno: the microphone cannot be used: no such device\n")
    (tmp_path / "sounddevice.py").write_text("raise ImportError")
    ended = live_process("--mic", PYTHONPATH=microphone)
    assert ended.returncode == 1
    assert ended.stderr == "steno: --mic needs the sounddevice package: pip install sounddevice\n"
