"""The dataset `chat-sft`: examples, filters, cleaning, splits, and the same bytes for the same input."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from steno.archive.chat.chat_message import ChatMessage
from steno.archive.dataset.chat_example import ChatRecording, FilterCounts, author_hash, examples_of
from steno.archive.dataset.dataset_options import DatasetOptions
from steno.archive.dataset.dataset_parquet import write_parquet
from steno.archive.dataset.dataset_report import write_report
from steno.archive.dataset.dataset_writer import SPLITS, split_of, write_dataset
from steno.archive.dataset.message_filters import FILTERS
from steno.archive.prompt import PromptWindow, chat_prompt
from steno.types import Word

SALT = b"salt"
TEMPLATE_1 = "aa1befae763127bbc5bade769f2d9237de51622933946cb94ef7689d4b69d7c8"
"""Digest of a prompt of the first template."""
SENTENCE = ["so", "we", "take", "the", "left", "door", "now", "and", "see", "what", "is", "behind", "it"]


def spoken(confidence: float | None = 0.9, seconds: float = 100.0) -> list[Word]:
    """A word each second."""
    return [Word(SENTENCE[at % len(SENTENCE)], at, at + 0.5, confidence) for at in range(round(seconds))]


def recording(*messages: ChatMessage, words: list[Word] | None = None, name: str = "vod-1") -> ChatRecording:
    return ChatRecording(name, 100.0, spoken() if words is None else words, messages, {"words": "0" * 64})


def outcome(made: ChatRecording, **options: object) -> tuple[list[str], dict[str, int]]:
    """The texts of the examples, and how many messages each filter has left out."""
    counts = FilterCounts()
    chosen = DatasetOptions.model_validate(options)
    texts = [example.text for example in examples_of(made, chosen, SALT, counts)]
    assert counts.kept == len(texts)
    assert counts.messages == len(texts) + counts.removed.total()
    assert set(counts.removed) <= set(FILTERS)
    return texts, dict(counts.removed)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (ChatMessage(50, "Nightbot", "follow the channel"), "bot"),
        (ChatMessage(50, "ada", "!discord"), "command"),
        (ChatMessage(50, "ada", "https://example.org/x"), "empty"),
        (ChatMessage(50, "ada", "@bob"), "empty"),
        (ChatMessage(50, "ada", "x" * 501), "too_long"),
        (ChatMessage(50, "ada", "what a Slur!"), "word_list"),
        (ChatMessage(150, "ada", "after the end"), "outside_of_recording"),
        (ChatMessage(-1, "ada", "before the beginning"), "outside_of_recording"),
        (ChatMessage(1, "ada", "too early"), "no_transcript"),
    ],
)
def test_a_message_is_left_out_and_counted(message: ChatMessage, reason: str) -> None:
    texts, removed = outcome(recording(message, ChatMessage(60, "bob", "left door")), word_list=("slur",))
    assert texts == ["left door"]
    assert removed == {reason: 1}


def test_the_word_list_has_sequences_of_words_and_symbols() -> None:
    texts = ["go kill  Yourself!", "kill it yourself", "i like C++", "i like c+", "overkill yourself", "slurs"]
    made = recording(*(ChatMessage(50 + at, f"v{at}", text) for at, text in enumerate(texts)))
    kept, removed = outcome(made, word_list=("kill yourself", "c++", "slur", " "))
    assert kept == [texts[1], texts[3], texts[4], texts[5]]
    assert removed == {"word_list": 2}


def test_only_the_same_emojis_are_copypasta() -> None:
    made = recording(*(ChatMessage(50 + at, f"v{at}", char * 20) for at, char in enumerate("😀🎉😀")))
    assert outcome(made) == (["😀" * 20, "🎉" * 20], {"copypasta": 1})


def test_messages_after_speech_of_low_confidence_are_left_out() -> None:
    words = [*spoken(0.2, 50), *[Word("well", at, at + 0.5, None) for at in range(50, 100)]]
    made = recording(ChatMessage(40, "ada", "one"), ChatMessage(99, "ada", "two"), words=words)
    assert outcome(made, transcript_s=30) == (["two"], {"low_asr_confidence": 1})
    assert outcome(made, transcript_s=30, min_asr_confidence=0.1) == (["one", "two"], {})


def test_copypasta_is_kept_once_within_a_window_that_each_copy_prolongs() -> None:
    text = "this is a long text that everybody copies"
    times = [10, 15, 25, 34, 60]
    made = recording(*(ChatMessage(at, f"v{at}", text.upper() if at == 25 else text) for at in times))
    assert outcome(made, copy_window_s=12) == ([text, text], {"copypasta": 3})
    assert outcome(made, copy_window_s=12, copy_min_chars=100)[0] == [text, text, text.upper(), text, text]


def test_emotes_alone_have_a_lower_weight() -> None:
    made = recording(
        ChatMessage(50, "ada", "Kappa Kappa", ("Kappa", "Kappa")),
        ChatMessage(51, "ada", "😀 😀"),
        ChatMessage(52, "ada", "hi Kappa", ("Kappa",)),
    )
    counts = FilterCounts()
    examples = list(examples_of(made, DatasetOptions(emote_only_weight=0.25), SALT, counts))
    assert [example.weight for example in examples] == [0.25, 0.25, 1.0]
    assert counts.weighted_down == 2


def test_caps_choose_at_random_but_the_same_each_time() -> None:
    messages = [ChatMessage(20 + at, "ada" if at % 2 else f"v{at}", f"message {at}") for at in range(60)]
    texts, removed = outcome(recording(*messages), max_per_author=5)
    assert removed == {"author_cap": 25}
    assert len([text for text in texts if int(text.split()[1]) % 2]) == 5
    shuffled = list(messages)
    random.Random(1).shuffle(shuffled)
    assert outcome(recording(*shuffled), max_per_author=5)[0] == texts
    assert outcome(recording(*messages), max_per_author=5, seed=1)[0] != texts
    assert outcome(recording(*messages), max_per_recording=7)[1] == {"recording_cap": 53}


def test_a_dataset_and_its_prompts_hide_display_names() -> None:
    made = recording(
        ChatMessage(50, "kobayashi_7", "hi", display_name="小林さん"), ChatMessage(51, "ada", "hello 小林さん")
    )
    example = list(examples_of(made, DatasetOptions(), SALT, FilterCounts()))[1]
    assert example.text == "hello @viewer"
    prompt = chat_prompt([], made.messages, 60, PromptWindow())
    assert "viewer 2: hello @viewer" in prompt[1]["content"]


def test_a_prompt_has_what_was_said_and_written_before_and_no_name() -> None:
    messages = [
        ChatMessage(1.0, "ada", "too old"),
        ChatMessage(55.0, "grace", "hello marvin_42"),
        ChatMessage(57.0, "marvin_42", "hey @grace see https://x.example"),
        ChatMessage(58.0, "grace", "gg"),
        ChatMessage(60.0, "ada", "the target"),
    ]
    prompt = chat_prompt(spoken(), messages, 60.0, PromptWindow(transcript_s=4.0, messages=3, messages_s=30.0))
    assert prompt == [
        {
            "role": "system",
            "content": "You are a viewer in the chat of a live stream. Write the next chat message.",
        },
        {
            "role": "user",
            "content": "What was said:\nleft door now and\n\nChat:\n"
            "viewer 1: hello @viewer\nviewer 2: hey @viewer see\nviewer 1: gg\n\nNext message:",
        },
    ]


def test_a_prompt_without_a_past_says_so() -> None:
    prompt = chat_prompt([], [], 0.0, PromptWindow())
    assert prompt[1]["content"] == "What was said:\n-\n\nChat:\n-\n\nNext message:"


def test_scripts_without_spaces_are_joined_without() -> None:
    words = [Word(text, at, at + 0.5) for at, text in enumerate(["今", "天", "good", "game"])]
    assert "今天 good game" in chat_prompt(words, [], 9.0, PromptWindow())[1]["content"]


def recordings(count: int = 40) -> dict[str, Callable[[], ChatRecording]]:
    def made(name: str) -> ChatRecording:
        chosen = random.Random(name)
        messages = [
            ChatMessage(
                round(chosen.uniform(5, 99), 2), f"viewer{chosen.randrange(9)}", f"{chosen.choice(SENTENCE)} {at % 7} é"
            )
            for at in range(30)
        ]
        return recording(*messages, ChatMessage(50, "nightbot", "hi"), name=name)

    return {name: (lambda name=name: made(name)) for name in (f"vod-{number}" for number in range(count))}


def lines_of(folder: Path, split: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_input_gives_the_same_bytes_in_whatever_order_it_comes(tmp_path: Path) -> None:
    loaders = list(recordings().items())
    for name in ("one", "two"):
        random.Random(name).shuffle(loaders)
        summary = write_dataset(dict(loaders), tmp_path / name, DatasetOptions(), SALT)
        write_report(summary, tmp_path / name)
        assert write_parquet(tmp_path / name)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert {"train.jsonl", "test.parquet", "prompt.json", "dataset.json", "report.html", "plots/lags.png"} <= digests(
        tmp_path / "one"
    ).keys()
    write_dataset(dict(loaders), tmp_path / "other", DatasetOptions(seed=1), SALT)
    assert digests(tmp_path / "other")["train.jsonl"] != digests(tmp_path / "one")["train.jsonl"]


def test_splits_are_of_whole_recordings_and_stay_when_others_are_added(tmp_path: Path) -> None:
    options = DatasetOptions(validation_share=0.2, test_share=0.2)
    few, many = recordings(20), recordings(60)
    write_dataset(few, tmp_path / "few", options, SALT)
    write_dataset(many, tmp_path / "many", options, SALT)
    placed = {split: {str(line["recording"]) for line in lines_of(tmp_path / "many", split)} for split in SPLITS}
    assert sum(map(len, placed.values())) == 60
    assert set.union(*placed.values()) == set(many)
    assert all(5 <= len(placed[split]) <= 20 for split in ("validation", "test"))
    for split in SPLITS:
        assert {str(line["recording"]) for line in lines_of(tmp_path / "few", split)} == placed[split] & few.keys()
    assert {split_of(name, DatasetOptions(test_share=1)) for name in many} == {"test"}


def test_the_prompts_of_a_dataset_are_those_of_inference(tmp_path: Path) -> None:
    loaders, options = recordings(3), DatasetOptions(transcript_s=20, context_messages=5)
    write_dataset(loaders, tmp_path, options, SALT)
    compared = 0
    for split in SPLITS:
        for line in lines_of(tmp_path, split):
            made = loaders[str(line["recording"])]()
            time_s = next(each.time_s for each in made.messages if round(each.time_s, 3) == line["time_s"])
            history = sorted((each for each in made.messages if each.time_s < time_s), key=lambda each: each.time_s)
            heard = [word for word in made.words if word.end_s <= time_s]
            names = {each.author.casefold() for each in made.messages}
            prompt = chat_prompt(heard, history, time_s, options.window, names)
            assert json.dumps(line["messages"][:-1]).encode() == json.dumps(prompt).encode()  # type: ignore[index]
            compared += 1
    assert compared == 90
    template = json.loads((tmp_path / "prompt.json").read_text(encoding="utf-8"))
    said, _, written = prompt[1]["content"].partition("\n\nChat:\n")
    assert prompt == [
        {"role": "system", "content": template["system"]},
        {
            "role": "user",
            "content": template["template"].format(
                transcript=said.removeprefix("What was said:\n"), chat=written.removesuffix("\n\nNext message:")
            ),
        },
    ]


def test_the_template_is_frozen() -> None:
    """Who changes it gives it another version: models were trained on this one."""
    words = [Word("hello", 1.0, 1.5), Word("there.", 1.5, 2.0)]
    prompt = chat_prompt(words, [ChatMessage(1.0, "ada", "hi")], 3.0, PromptWindow())
    assert hashlib.sha256(json.dumps(prompt).encode()).hexdigest() == TEMPLATE_1


def test_authors_are_salted_hashes(tmp_path: Path) -> None:
    write_dataset(recordings(3), tmp_path, DatasetOptions(), SALT)
    text = "".join((tmp_path / f"{split}.jsonl").read_text(encoding="utf-8") for split in SPLITS)
    assert author_hash("viewer3", SALT) in text
    assert author_hash("Viewer3", SALT) == author_hash("viewer3", SALT) != author_hash("viewer3", b"other")
    assert "viewer3" not in text
    assert "viewer 3" in text


def test_who_lacks_the_salt_cannot_test_names_with_ids() -> None:
    made = recording(ChatMessage(50, "ada", "left door"))
    one, other = (
        [each.id for each in examples_of(made, DatasetOptions(), salt, FilterCounts())] for salt in (SALT, b"x")
    )
    parts = "\0".join(["vod-1", "50.000", "ada", "left door"]).encode()
    assert one != other
    assert one == [f"vod-1-{hmac.digest(SALT, parts, 'sha256').hex()[:12]}"]
    assert hashlib.sha256(parts).hexdigest()[:12] not in one[0]


def test_parameters_counts_and_inputs_are_recorded(tmp_path: Path) -> None:
    options = DatasetOptions(max_per_author=4)
    write_dataset(recordings(3), tmp_path, options, SALT)
    written = json.loads((tmp_path / "dataset.json").read_text(encoding="utf-8"))
    assert DatasetOptions.model_validate(written["options"]) == options
    counts = written["counts"]
    assert counts["messages"] == 93
    assert counts["removed"]["bot"] == 3
    assert counts["kept"] + sum(counts["removed"].values()) == 93
    assert counts["kept"] == sum(len(lines_of(tmp_path, split)) for split in SPLITS)
    assert written["recordings"]["vod-1"]["inputs"] == {"words": "0" * 64}
    assert written["statistics"]["token_entropy_bits"] > 2


def test_the_report_shows_messages_as_text_and_has_its_plots(tmp_path: Path) -> None:
    made = recording(ChatMessage(50, "ada", "<script>alert(1)</script> $x$ 😀"), ChatMessage(51, "bob", "left door"))
    summary = write_dataset({"vod": lambda: made}, tmp_path, DatasetOptions(), SALT)
    write_report(summary, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $x$ 😀" in page
    plots = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert plots == ["filters.png", "gaps.png", "lags.png", "lengths.png", "tokens.png", "top_messages.png"]
    assert page.count("data:image/png;base64,") == len(plots)


def test_a_dataset_without_an_example_is_written(tmp_path: Path) -> None:
    summary = write_dataset({"vod": recording}, tmp_path, DatasetOptions(), SALT)
    write_report(summary, tmp_path)
    assert summary.counts.kept == 0
    assert (tmp_path / "train.jsonl").read_bytes() == b""


def test_parquet_has_the_lines_of_the_jsonl(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow: pip install 'steno[archive]'")
    write_dataset(recordings(3), tmp_path, DatasetOptions(), SALT)
    assert write_parquet(tmp_path)
    for split in SPLITS:
        assert pq.read_table(tmp_path / f"{split}.parquet").to_pylist() == lines_of(tmp_path, split)
