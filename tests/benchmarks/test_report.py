"""`benchmarks.report`: what it stores, shows and fills in; no number of this machine is judged."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.reporting.benchmark_runs import run_all
from benchmarks.reporting.blocks import BLOCKS, DOCUMENTS, UnknownBlockError, block_names, fill
from benchmarks.reporting.machine_noise import Calibration, Noise, describe
from benchmarks.reporting.page import write_page
from benchmarks.reporting.plots import PLOTS
from benchmarks.reporting.reported_benchmarks import REGISTRY, ReportedBenchmark
from benchmarks.reporting.stored_run import MAX_SAMPLES, entry, machine_name, new_run, read_run, store, thin, value_of
from server.page.browser import AXE, CHROMIUM, PATIENCE_MS

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results"
STORED = sorted(RESULTS.glob("*/*.json"))
QUOTED = ROOT / re.findall(r"<!-- report: overview (\S+) -->", (ROOT / "README.md").read_text(encoding="utf-8"))[0]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_numbers_in_prose_are_those_of_the_stored_run_that_they_name(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    assert block_names(text)
    assert fill(text) == text


def test_a_changed_number_in_a_block_is_noticed() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    start = text.index("<!-- report: ")
    digit = re.compile(r"\| .*?(\d) ms").search(text, start)
    assert digit is not None
    changed = text[: digit.start(1)] + str((int(digit[1]) + 1) % 10) + text[digit.end(1) :]
    assert fill(changed) == text


def test_a_block_without_its_run_is_an_error() -> None:
    with pytest.raises(UnknownBlockError, match=r"nowhere\.json does not exist"):
        fill("<!-- report: overview nowhere.json -->\n<!-- /report -->")
    with pytest.raises(UnknownBlockError, match="no block is called other; there are overview"):
        fill("<!-- report: other nowhere.json -->\n<!-- /report -->")


@pytest.mark.parametrize("file", STORED, ids=lambda file: file.stem)
def test_a_stored_run_says_where_and_how_it_was_measured(file: Path) -> None:
    run = read_run(file)
    assert file.parent.name == run["machine"]["name"] == machine_name(run["machine"])
    assert file.stem.startswith(f"{run['began'][:10]}-{run['commit'][:9]}")
    assert file.stat().st_size < 300_000
    assert run["benchmarks"]
    for found in run["benchmarks"].values():
        assert found["noise"] is None or found["noise"]["wall_over_cpu"] > 0.9
        assert all(len(values) <= MAX_SAMPLES for values in found["document"]["samples"].values())
    assert re.search(r"/(tmp|home|root|work|Users)/", file.read_text(encoding="utf-8")) is None


def test_there_is_a_stored_run_and_a_baseline() -> None:
    assert QUOTED in STORED
    assert re.fullmatch(r"[0-9a-f]{40}\n", (RESULTS / "baseline").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("processor", "cores", "name"),
    [
        ("AMD EPYC 9554 64-Core Processor", 2, "amd-epyc-9554-64-core-processor-2-cores"),
        ("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", 28, "intel-xeon-e5-2680-v4-28-cores"),
        ("", 4, "unknown-4-cores"),
    ],
)
def test_a_machine_is_named_by_its_processor_and_cores(processor: str, cores: int, name: str) -> None:
    assert machine_name({"processor": processor, "cores": cores}) == name


def test_long_lists_are_thinned_and_their_length_is_kept() -> None:
    values = [float(n) for n in range(1000)]
    kept = thin(values)
    assert (len(kept), kept[0], kept[-1]) == (MAX_SAMPLES, 0.0, 999.0)
    assert max(after - before for before, after in pairwise(kept)) <= 9
    found = entry("…", {"summary": {}, "samples": {"a": values, "b": [1.0]}, "series": {"c": [[0, 1.23456789]]}}, None)
    assert found["thinned"] == {"samples.a": 1000}
    assert found["document"]["samples"]["b"] == [1.0]
    assert found["document"]["series"]["c"] == [[0, 1.2346]]


def test_a_run_is_never_written_over_another(tmp_path: Path) -> None:
    run = new_run("quick", "…", "2026-01-02T03:04:05Z") | {"commit": "0123456789", "dirty": False}
    first, second = store(run, tmp_path), store(run, tmp_path)
    assert (first.name, second.name) == ("2026-01-02-012345678.json", "2026-01-02-012345678-2.json")
    assert read_run(first) == read_run(second) == run


def test_noise_is_said_in_words() -> None:
    quiet = Noise.between(Calibration(0.1, 0.1, 0.2, 0, 0), Calibration(0.101, 0.102, 0.4, 100, 1))
    assert (quiet.steal_share, quiet.wall_over_cpu) == (0.01, 1.01)
    assert describe([quiet.as_json()]).startswith("a quiet machine: calibration loops differ by 1 % and waited")
    busy = Noise.between(Calibration(0.1, 0.2, 3.0, 0, 0), Calibration(0.1, 0.1, 3.0, 100, 0))
    assert describe([quiet.as_json(), busy.as_json()]).startswith("a busy machine:")


def test_a_benchmark_that_fails_does_not_stop_the_rest(tmp_path: Path) -> None:
    run = new_run("quick", "…", "2026-01-02T03:04:05Z")
    broken = ReportedBenchmark("no_such_benchmark", (), (), 1, ())
    slow = ReportedBenchmark("endurance", ("--quick",), (), 1, (), timeout_s=0.5)
    lacking = ReportedBenchmark("captions", (), (), 1, (), needs=("no_such_package",))
    run_all(run, [broken, slow, lacking, REGISTRY["vad"]], tmp_path, is_quick=True)
    assert run["failed"].keys() == {"no_such_benchmark", "endurance", "captions"}
    assert "No module named" in run["failed"]["no_such_benchmark"]
    assert run["failed"]["endurance"].startswith("killed after")
    assert run["failed"]["captions"] == "not installed: no_such_package"
    assert (value_of(run, "vad", "together_us") or 0) > 0
    assert run["benchmarks"]["vad"]["command"] == "python -m benchmarks.vad --quick"


@pytest.mark.slow
def test_an_interrupted_report_keeps_what_there_is(tmp_path: Path) -> None:
    out, results = tmp_path / "out", tmp_path / "results"
    command = [
        sys.executable,
        "-m",
        "benchmarks.report",
        "vad",
        "endurance",
        "--out",
        str(out),
        "--results",
        str(results),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as report:
        deadline = time.monotonic() + 60
        while not (out / "endurance.log").exists():  # it has begun
            assert time.monotonic() < deadline
            time.sleep(0.05)
        report.send_signal(signal.SIGTERM)
        said, _ = report.communicate(timeout=60)
    assert report.returncode == 130, said
    (stored,) = results.glob("*/*.json")
    run = read_run(stored)
    assert (run["interrupted"], [*run["benchmarks"]]) == (True, ["vad"])
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "interrupted" in page
    assert page.count("this run has no data for it") == len(PLOTS)


class Page(HTMLParser):
    """Every address that a page asks for, the headings, and what lacks a text for those who do not see it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.headings: list[str] = []
        self.lacking: list[str] = []
        self._tables = self._captions = 0
        self.feed(text)
        if self._tables != self._captions:
            self.lacking.append("a table's caption")

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.asked += [value for name in ("src", "srcset", "href") if (value := given.get(name))]
        self._tables += tag == "table"
        self._captions += tag == "caption"
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(tag)
        if tag == "img" and not given.get("alt"):
            self.lacking.append("an image's text")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the run that the README quotes."""
    return write_page(read_run(QUOTED), tmp_path_factory.mktemp("page"))


def test_the_page_needs_no_network_and_has_all_plots(page: Path) -> None:
    read = Page(page.read_text(encoding="utf-8"))
    assert [address for address in read.asked if not address.startswith("data:image/png;base64,")] == []
    assert len(read.asked) == 2 * len(PLOTS)  # light and dark
    assert read.lacking == []
    assert read.headings[0] == "h1"
    assert {path.stem for path in page.parent.glob("*.png")} == {plot.name for plot in PLOTS}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible_in_a_browser(page: Path, scheme: str) -> None:
    if not CHROMIUM:
        pytest.skip("chromium is not installed")
    axe = next((path for path in AXE if path.is_file()), None)
    if axe is None:
        pytest.skip(f"axe-core is not installed: no {AXE[0]}")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE_MS)
        tab = browser.new_page(color_scheme=scheme)
        tab.goto(page.as_uri())
        widths = tab.evaluate("[...document.images].map((image) => image.naturalWidth)")
        tab.add_script_tag(path=axe)
        violations = tab.evaluate("axe.run().then(({violations}) => violations.map(({id}) => id))")
        browser.close()
    assert len(widths) == len(PLOTS)
    assert min(widths) > 100
    assert violations == []


def test_every_block_has_an_owner_and_every_figure_a_benchmark() -> None:
    used = {name for document in DOCUMENTS for name in block_names((ROOT / document).read_text(encoding="utf-8"))}
    assert used == BLOCKS.keys()
    for benchmark in REGISTRY.values():
        assert (ROOT / "benchmarks" / f"{benchmark.name}.py").is_file()
        assert len({figure.name for figure in benchmark.figures}) == len(benchmark.figures)
    assert sum(benchmark.quick_s for benchmark in REGISTRY.values()) < 600


def test_figures_that_count_are_in_the_run_that_the_readme_quotes() -> None:
    run = read_run(QUOTED)
    missing = [
        f"{name}.{figure.name}"
        for name in run["benchmarks"]
        for figure in REGISTRY[name].figures
        if value_of(run, name, figure.name) is None
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["no_such_benchmark"], "there are footprint"),
        (["captions", "--include", "no-such.json"], "no-such.json is not the JSON of a benchmark"),
        (["captions", "--include", "pyproject.toml"], "pyproject.toml is not the JSON of a benchmark"),
        (["--show", "no-such.json"], "no-such.json does not exist"),
    ],
)
def test_misuse_exits_with_2_before_anything_is_measured(arguments: list[str], told: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.report", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert told in ended.stderr


@pytest.mark.slow
def test_the_page_of_a_stored_run_is_written_again(tmp_path: Path) -> None:
    copied = tmp_path / "run.json"
    shutil.copy(QUOTED, copied)
    run = json.loads(copied.read_text(encoding="utf-8"))
    run["benchmarks"] = {"captions": run["benchmarks"]["captions"]}
    copied.write_text(json.dumps(run), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.report", "--show", str(copied), "--out", str(tmp_path / "out")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "python -m benchmarks.captions --quick" in text
    assert text.count("this run has no data for it") == len(PLOTS)


def test_a_block_says_which_weights_were_measured() -> None:
    run = read_run(QUOTED)
    assert "faster (tiny checkpoint)" in BLOCKS["overview"](run)
    run["benchmarks"]["streaming_cost"]["command"] = "python -m benchmarks.streaming_cost"
    assert "faster (0.6B size)" in BLOCKS["overview"](run)
    del run["benchmarks"]["streaming_cost"]
    assert "faster" not in BLOCKS["overview"](run)
