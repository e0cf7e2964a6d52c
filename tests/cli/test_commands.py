"""The command line: output, exit codes, and what is left behind."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import srt

from audio.encode import FLAC, MKV, encode, tone
from command_line import run_command
from llm_server import Answer, LlmServer
from running import EMBEDDED, PATIENCE_S, RunningServer, cpu_s, until
from speech import word_error_rate

SCRIPTED = {**os.environ, "ASR_BACKEND": "scripted"}


def steno(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_command(*words, environment={**SCRIPTED, **environment})


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted", API_KEYS="k") as server:
        yield server


# help


@pytest.mark.parametrize(
    "command", ["serve", "transcribe", "align", "jobs", "live", "models", "export", "doctor", "demo"]
)
def test_every_command_has_help_and_is_listed(command: str) -> None:
    assert command in steno("--help").stdout
    helped = steno(command, "--help")
    assert helped.returncode == 0
    assert "Usage:" in helped.stdout


def test_the_help_of_serve_lists_the_environment_variables_with_their_defaults() -> None:
    text = " ".join(steno("serve", "--help").stdout.split())
    for name in ("PORT", "API_KEYS", "MAX_QUEUE", "IDLE_TIMEOUT", "ASR_BACKEND", "MODEL_ALIASES", "LOG_JSON"):
        assert name in text
    assert "more get a 429. [32]" in text
    assert "USE_SPECULATIVE" in text
    assert "TRT_ENCODER_PATH" in text


def test_an_unknown_command_and_a_bad_variable_are_usage_errors() -> None:
    assert steno("transcibe").returncode == 2
    ended = steno("serve", PORT="eighty")
    assert ended.returncode == 2
    assert ended.stderr.startswith("steno: PORT='eighty'")


# transcribe


def test_real_speech_becomes_text_on_stdout_and_a_summary_on_stderr(fixtures: Path) -> None:
    ended = steno("transcribe", fixtures / "market.flac", ASR_BACKEND=EMBEDDED)
    assert ended.returncode == 0
    assert word_error_rate("market.flac", ended.stdout) <= 0.35
    assert "s of audio in" in ended.stderr
    assert "real-time factor" in ended.stderr


def test_json_formats_are_json(fixtures: Path) -> None:
    plain = json.loads(steno("transcribe", "-f", "json", fixtures / "letter.flac").stdout)
    assert plain["text"].startswith("w0 w1")
    verbose = json.loads(steno("transcribe", "-f", "verbose_json", "-q", fixtures / "letter.flac").stdout)
    assert verbose["words"][1] == {"word": "w1", "start": 0.5, "end": 1.0, "confidence": 1.0}


def test_several_files_go_into_a_folder_and_one_failure_does_not_stop_the_others(
    fixtures: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_text("no audio in here")
    out = tmp_path / "out"
    ended = steno("transcribe", fixtures / "letter.flac", bad, fixtures / "train.flac", "--output-dir", out)
    assert ended.returncode == 1
    assert sorted(path.name for path in out.iterdir()) == [".steno.json", "letter.txt", "train.txt"]
    assert f"steno: {bad}: " in ended.stderr
    assert "not an audio file" in ended.stderr


def test_a_missing_file_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    ended = steno("transcribe", tmp_path / "none.mp4", "-o", tmp_path / "out.txt")
    assert ended.returncode == 1
    assert "none.mp4: No such file or directory" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_options_that_contradict_each_other_are_usage_errors(fixtures: Path, tmp_path: Path) -> None:
    file = fixtures / "letter.flac"
    assert steno("transcribe", file, "-o", tmp_path / "a", "--output-dir", tmp_path).returncode == 2
    assert steno("transcribe", file, file, "-o", tmp_path / "a").returncode == 2
    assert steno("transcribe").returncode == 2


def test_a_language_that_the_backend_lacks_is_refused(fixtures: Path) -> None:
    ended = steno("transcribe", "-l", "French", fixtures / "letter.flac", ASR_BACKEND=EMBEDDED)
    assert ended.returncode == 1
    assert "it supports en" in ended.stderr


def test_ctrl_c_ends_it_with_130_and_leaves_no_half_written_file_and_no_process(fixtures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    running = subprocess.Popen(
        [sys.executable, "-m", "steno", "transcribe", fixtures / "address.opus", "--output-dir", out],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "ASR_BACKEND": EMBEDDED},
    )  # fmt: skip
    until(lambda: cpu_s([(process := psutil.Process(running.pid)), *process.children()]) > 2)  # it is at work
    os.killpg(running.pid, signal.SIGINT)
    _, errors = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert list(out.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(running.pid, 0)


def test_a_terminal_sees_a_progress_bar(fixtures: Path) -> None:
    leader, follower = pty.openpty()
    environment = {**SCRIPTED, "TERM": "xterm", "COLUMNS": "120", "MODEL_ID": "scripted@30ms"}
    running = subprocess.Popen(
        [sys.executable, "-m", "steno", "transcribe", fixtures / "address.opus"],
        stdout=subprocess.DEVNULL, stderr=follower, env=environment,
    )  # fmt: skip
    os.close(follower)
    seen = b""
    while True:
        try:
            data = os.read(leader, 4096)
        except OSError:  # Linux says EIO when the other side has closed
            break
        if not data:
            break
        seen += data
    os.close(leader)
    assert running.wait(PATIENCE_S) == 0
    shown = seen.decode()
    assert "address.opus" in shown
    assert "real time" in shown
    assert "%" in shown


# subtitles, several formats, resuming, standard input


def test_several_formats_are_made_in_one_pass_and_a_second_run_makes_nothing(fixtures: Path, tmp_path: Path) -> None:
    words = ["transcribe", str(fixtures / "*er.flac"), "-f", "srt,vtt,txt", "-d", str(tmp_path)]
    first = steno(*words, ASR_BACKEND=EMBEDDED)
    assert first.returncode == 0, first.stderr
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == [
        ".steno.json",
        *(f"{name}.{form}" for name in ("letter", "weather") for form in ("srt", "txt", "vtt")),
    ]
    assert "2 transcribed; " in first.stderr
    (cue, *_) = srt.parse((tmp_path / "letter.srt").read_text())
    assert (
        word_error_rate("letter.flac", " ".join(c.content for c in srt.parse((tmp_path / "letter.srt").read_text())))
        < 0.3
    )
    assert cue.start.total_seconds() >= 0
    second = steno(*words, ASR_BACKEND=EMBEDDED)
    assert second.stderr.count("done before, skipped") == 2
    (tmp_path / "letter.vtt").unlink()
    third = steno(*words, ASR_BACKEND=EMBEDDED)
    assert "1 transcribed, 1 skipped" in third.stderr
    assert (tmp_path / "letter.vtt").exists()


def test_a_changed_recording_or_option_is_done_again(fixtures: Path, tmp_path: Path) -> None:
    recording = tmp_path / "talk.flac"
    recording.write_bytes((fixtures / "letter.flac").read_bytes())
    words = ["transcribe", recording, "-f", "srt", "-d", tmp_path / "out"]
    assert "skipped" not in steno(*words).stderr
    assert "skipped" in steno(*words).stderr
    assert "skipped" not in steno(*words, "--max-line-chars", "20").stderr
    recording.write_bytes((fixtures / "train.flac").read_bytes())
    assert "skipped" not in steno(*words).stderr


def test_standard_input_is_a_recording(fixtures: Path) -> None:
    ended = run_command("transcribe", "-", environment=SCRIPTED, stdin=fixtures / "letter.flac")
    assert ended.stdout.startswith("w0 w1")
    assert "stdin: 3.7 s of audio" in ended.stderr


def test_a_pipe_is_a_recording(fixtures: Path) -> None:
    command = f"{sys.executable} -m steno transcribe <(cat {fixtures / 'letter.flac'})"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=SCRIPTED, timeout=PATIENCE_S)
    assert ended.stdout.startswith("w0 w1"), ended.stderr


def test_results_that_would_overwrite_each_other_are_refused(fixtures: Path, tmp_path: Path) -> None:
    for name in ("a.flac", "a.fr.flac"):
        (tmp_path / name).write_bytes((fixtures / "letter.flac").read_bytes())
    words = ["transcribe", tmp_path / "a.flac", tmp_path / "a.fr.flac", "-d", tmp_path / "out", "--translate-to", "fr"]
    ended = steno(*words, OPENAI_BASE_URL="http://127.0.0.1:9/v1", TRANSLATE_MODEL="x")
    assert ended.returncode == 2
    assert "two results would be called a.fr.txt" in ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold a process to ulimit -v")
@pytest.mark.parametrize("limit_mb", [150, 300])
def test_a_server_that_may_not_have_the_memory_it_needs_says_so_and_does_not_start(limit_mb: int) -> None:
    command = f"ulimit -v {limit_mb * 1024}; exec {sys.executable} -m steno serve --port 0"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=SCRIPTED, timeout=PATIENCE_S)
    assert ended.returncode == 2
    assert f"{limit_mb} MB of address space (ulimit -v), and a server needs 640" in ended.stderr
    assert "listening" not in ended.stdout
    assert len(ended.stderr.splitlines()) < 5


def test_ctrl_c_does_not_wait_for_a_server_that_never_answers(fixtures: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        running = subprocess.Popen(
            [sys.executable, "-m", "steno", "transcribe", "--url", url, fixtures / "letter.flac"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=SCRIPTED,
        )  # fmt: skip
        connection, _ = deaf.accept()
        connection.recv(1000)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=PATIENCE_S)
        connection.close()
    assert (running.returncode, "Traceback" in errors) == (130, False)


def test_a_format_that_does_not_exist_is_named_with_those_that_do(fixtures: Path) -> None:
    ended = steno("transcribe", fixtures / "letter.flac", "-f", "srt,docx")
    assert ended.returncode == 2
    assert "invalid format 'docx'; expected one of text, json, verbose_json, diarized_json, srt" in ended.stderr


# translation


def test_translations_are_made_beside_the_source(fixtures: Path, tmp_path: Path) -> None:
    with LlmServer() as llm:
        ended = steno(
            "transcribe", fixtures / "letter.flac", "-f", "srt,txt", "-d", tmp_path, "--translate-to", "French,zh",
            OPENAI_BASE_URL=llm.url, TRANSLATE_MODEL="test",
        )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made[1:] == ["letter.fr.srt", "letter.fr.txt", "letter.srt", "letter.txt", "letter.zh.srt", "letter.zh.txt"]
    source, french = (list(srt.parse((tmp_path / name).read_text())) for name in ("letter.srt", "letter.fr.srt"))
    assert [(cue.start, cue.end) for cue in french] == [(cue.start, cue.end) for cue in source]
    assert "(fr)" in french[0].content
    assert "好的" in (tmp_path / "letter.zh.txt").read_text()


def test_without_an_llm_a_translation_is_refused_before_anything_is_done(fixtures: Path) -> None:
    ended = steno("transcribe", fixtures / "letter.flac", "--translate-to", "fr", OPENAI_BASE_URL="")
    assert ended.returncode == 1
    assert "set OPENAI_BASE_URL and TRANSLATE_MODEL" in ended.stderr
    assert "of audio" not in ended.stderr


def test_an_llm_that_is_down_costs_the_translation_and_not_the_transcript(fixtures: Path, tmp_path: Path) -> None:
    with LlmServer(then=lambda *_: Answer(status=500)) as llm:
        words = ["transcribe", fixtures / "letter.flac", "-d", tmp_path, "--translate-to", "fr"]
        ended = steno(*words, OPENAI_BASE_URL=llm.url, TRANSLATE_MODEL="test", TRANSLATE_RETRIES="0")
        assert ended.returncode == 1
        assert "could not be translated and keep the source text" in ended.stderr
        assert (tmp_path / "letter.txt").read_text() == (tmp_path / "letter.fr.txt").read_text()
    with LlmServer() as llm:
        again = steno(*words, OPENAI_BASE_URL=llm.url, TRANSLATE_MODEL="test")
    assert again.returncode == 0
    assert "(fr)" in (tmp_path / "letter.fr.txt").read_text()


# transcribe --url, models, doctor


def test_a_server_does_the_same_work(server: RunningServer, fixtures: Path) -> None:
    here = steno("transcribe", "-f", "json", fixtures / "train.flac")
    there = steno("transcribe", "-f", "json", "--url", server.url, "--api-key", "k", fixtures / "train.flac")
    assert there.returncode == 0, there.stderr
    assert json.loads(there.stdout) == json.loads(here.stdout)


@pytest.mark.parametrize("form", ["srt", "vtt", "verbose_json"])
def test_a_server_s_words_make_the_same_files(server: RunningServer, fixtures: Path, form: str) -> None:
    here = steno("transcribe", "-f", form, fixtures / "doctor.flac").stdout
    there = steno("transcribe", "-f", form, "--url", server.url, "--api-key", "k", fixtures / "doctor.flac").stdout
    if form == "verbose_json":
        assert json.loads(there)["words"] == json.loads(here)["words"]
    else:
        assert there == here


def test_a_server_s_refusal_is_passed_on(server: RunningServer, fixtures: Path) -> None:
    ended = steno("transcribe", "--url", server.url, "--api-key", "wrong", fixtures / "train.flac")
    assert ended.returncode == 1
    assert "the server says 401: the API key is invalid" in ended.stderr


def test_a_server_that_is_not_there_is_named(fixtures: Path) -> None:
    ended = steno("transcribe", "--url", "http://127.0.0.1:9", fixtures / "train.flac")
    assert ended.returncode == 1
    assert "no response from http://127.0.0.1:9/" in ended.stderr


def test_models_of_a_server_and_of_this_machine(server: RunningServer) -> None:
    there = steno("models", "--url", server.url, "--api-key", "k")
    assert there.stdout.startswith("scripted  (")
    assert "whisper-1" in there.stdout
    here = steno("models").stdout
    assert "moonshine-tiny-en" in here
    assert "pocketsphinx-en-us" in here
    assert "available" in here


def test_doctor_tells_what_works_and_why_the_rest_does_not() -> None:
    report = json.loads(steno("doctor", "--json", ASR_BACKEND="auto").stdout)
    assert report["backends"]["sphinx"]["ok"] is True
    assert report["backends"]["vllm"]["ok"] is False
    assert report["backends"]["vllm"]["reason"]
    missing = report["backends"]["vllm"]["reason"]
    assert report["vllm"] == {"installed": None, "missing": missing, "used": False, "servers": []}
    assert report["serves_with"] in ("moonshine", "qwen")
    assert report["backends"]["moonshine"]["ok"] is True
    assert report["aligner"] == "sphinx (it needs no download)"
    assert report["packages"]["pocketsphinx"]
    assert report["packages"]["moonshine-voice"]
    text = steno("doctor", ASR_BACKEND="auto")
    assert text.returncode == 0
    assert "steno serve would use: " in text.stdout


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"ASR_BACKEND": "moonshine", "MODEL_LANGUAGE": "de"}, "moonshine-tiny-en is English"),
        ({"ASR_BACKEND": "moonshine", "MODEL_ID": "/nowhere"}, "neither 'moonshine-tiny-en' nor a folder"),
    ],
)
def test_doctor_does_not_promise_a_server_that_would_refuse_to_start(wrong: dict[str, str], named: str) -> None:
    ended = steno("doctor", **wrong)
    assert ended.returncode == 1
    assert named in ended.stdout
    assert "steno serve would use: nothing" in ended.stdout
    assert named in steno("serve", PORT="0", **wrong).stderr


def test_doctor_names_wrong_settings_and_fails() -> None:
    ended = steno("doctor", PORT="x")
    assert ended.returncode == 1
    assert "problem: PORT='x'" in ended.stdout


# demo


def test_the_demo_goes_all_the_way() -> None:
    ended = steno("demo", ASR_BACKEND=EMBEDDED)
    assert ended.returncode == 0, ended.stderr
    heard = ended.stdout.split("recogniser:")[1].split("server stopped")[0]
    assert word_error_rate("weather.flac", heard) <= 0.25
    assert "server stopped with exit code 0" in ended.stdout


def test_an_output_folder_that_cannot_be_is_named_before_anything_is_recognised(fixtures: Path) -> None:
    ended = steno("transcribe", fixtures / "market.flac", "-d", "/dev/null/x", ASR_BACKEND="scripted")
    assert ended.returncode == 2
    assert "--output-dir /dev/null/x: /dev/null is not a folder" in ended.stderr
    assert "market" not in ended.stderr


def test_a_track_is_chosen_and_damage_is_told(tmp_path: Path, server: RunningServer) -> None:
    two = tmp_path / "two.mkv"
    two.write_bytes(encode(tone(3, 48_000), 48_000, MKV, silent_tracks=1))
    cut = tmp_path / "cut.flac"
    cut.write_bytes(encode(tone(20, 48_000), 48_000, FLAC)[:200_000])
    for where in ((), ("--url", server.url, "--api-key", "k")):
        ended = steno("transcribe", two, cut, "--track", "2", *where, ASR_BACKEND="scripted")
        assert "There is no audio track '2'. The file has: 1" in ended.stderr
        assert ended.stderr.count("no audio track") == 1, "the other file has one"
        ended = steno("transcribe", cut, *where, ASR_BACKEND="scripted")
        assert ended.returncode == 0
        assert "the header says 20.0 s" in ended.stderr


def test_numpy_computes_in_the_thread_that_calls_it() -> None:
    """A product that waits for OpenBLAS's threads never returns if a process is forked meanwhile."""
    script = (
        "import sys; sys.argv = ['steno', '--version']\n"
        "from steno.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "import numpy, psutil, scipy.linalg; print(psutil.Process().num_threads())"
    )
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=PATIENCE_S
    )
    assert ran.stdout.splitlines()[-1] == "1", ran.stderr
