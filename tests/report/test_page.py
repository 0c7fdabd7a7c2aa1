"""The page of a fit: complete, self-contained, true to its numbers, safe."""

from __future__ import annotations

import copy
import html.parser
import json
import re

import numpy as np
import pytest

import run_example
from pendula._errors import CheckpointError
from pendula.report import (
    Columns,
    Facts,
    Link,
    Listing,
    Picture,
    Points,
    Section,
    Table,
    Text,
    Verdict,
    number,
    page,
    write_figures,
    write_page,
)


VOID = {"meta", "link", "br", "img", "hr", "input"}


class Reader(html.parser.HTMLParser):
    """Checks that tags close in order; gathers texts, tags and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.headings: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "h2":
            self.headings.append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)
        if "h2" in self.open:
            self.headings[-1] += data

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_example.write(tmp_path_factory.mktemp("runs") / "swing")


@pytest.fixture(scope="module")
def made(run):
    path = write_page(run)
    return path, Reader(path.read_text(encoding="utf-8"))


def test_six_sections_in_order(made):
    _, page = made
    assert [heading[0] for heading in page.headings] == list("123456")
    words = ("What was asked", "Data", "Training", "Rollouts", "Trust", "Reproduce")
    for heading, word in zip(page.headings, words, strict=True):
        assert heading[1:].strip().startswith(word)


def test_nothing_is_fetched_or_run(made):
    path, page = made
    text = path.read_text(encoding="utf-8")
    assert "http:" not in text
    assert "https:" not in text
    assert "//" not in text.replace("<!DOCTYPE", "")
    names = {tag for tag, _ in page.tags}
    assert names.isdisjoint({"script", "iframe", "img", "object", "embed", "base"})
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("href", "src", "xlink:href"):
                assert value.startswith("#") or value == "data:,", (tag, value)
    assert "@import" not in text
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", text)


def test_size_and_points(made):
    path, _ = made
    assert path.stat().st_size < 5_000_000
    for curve in re.findall(r' d="([^"]*)"', path.read_text(encoding="utf-8")):
        assert (
            len(re.findall(r"[MLCQ]", curve)) <= 2 * 2000 + 10
        )  # a band has two sides


def test_long_records_stay_small(tmp_path):
    arrays = run_example.arrays()
    rng = np.random.default_rng(1)
    for name, value in list(arrays.items()):
        if name.startswith(("data/", "forecast/")) and value.ndim:
            shape = (60_000, *value.shape[1:])
            arrays[name] = rng.normal(size=shape)
    arrays["data/ts"] = np.linspace(0, 60, 60_000)
    arrays["forecast/ts"] = np.linspace(40, 60, 60_000)
    path = write_page(run_example.write(tmp_path / "long", arrays=arrays))
    assert path.stat().st_size < 5_000_000


def test_ids_are_unique_and_targets_exist(made):
    path, page = made
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    text = path.read_text(encoding="utf-8")
    targets = re.findall(r'(?:href="#|url\(#)([\w-]+)', text)
    assert len(targets) > 20
    assert set(targets) <= set(ids)


def test_numbers_are_those_of_the_report(made):
    _, page = made
    report = run_example.report()
    head = report["scores"]["headline"]
    assert f"{number(head['value'])} rad" in page.text
    assert f"{number(head['low'])} to {number(head['high'])} rad" in page.text
    assert abs(float(number(head["value"])) / head["value"] - 1) < 5e-3
    for row in report["scores"]["baselines"]:
        assert (
            f"{row['name']} {number(row['rmse'])} rad {number(row['ratio'])}"
            in page.text
        )
    for constant in report["constants"]:
        assert number(constant["value"], 4) in page.text
    for phase in report["training"]["phases"]:
        assert f"{phase['name']} {phase['steps']}" in page.text
    assert report["verdict"]["text"] in page.text
    assert report["reproduce"]["command"] in page.text
    assert "c and f are confounded" in page.text
    for row in report["decisions"]:
        assert row["option"] in page.text


def test_first_screen_has_verdict_headline_baselines_and_forecast(made):
    path, _ = made
    text = path.read_text(encoding="utf-8")
    first = text[: text.index("<h2", text.index("<h2") + 1)]
    for part in ('class="verdict good"', 'class="headline"', "persistence", "<svg"):
        assert part in first


def test_at_least_four_figures_with_units(made):
    path, page = made
    assert path.read_text(encoding="utf-8").count("<svg") >= 4
    for axis in ("theta [rad]", "time [s]", "horizon [s]", "error [rad]", "loss [1]"):
        assert axis in page.text
    assert "trusted to 18.5 s" in page.text


def test_same_numbers_give_the_same_page(run, made):
    path, _ = made
    first = path.read_bytes()
    assert write_page(run).read_bytes() == first


def test_hostile_texts_are_shown_not_obeyed(tmp_path):
    """A column may be called anything: markup, mathematics, control characters."""
    evil = "<script>alert(1)</script>\"onload=x '& $\\frac{ _y \x00\x1b[31m \ud800漢字"
    report = run_example.report()
    report["title"] = evil
    report["data"]["channels"][0].update(name=evil, unit="$\\bad$")
    report["verdict"].update(text=evil, reasons=[evil])
    report["decisions"][0]["why"] = evil
    report["training"]["phases"][0]["name"] = evil
    report["scores"]["baselines"][0]["name"] = "_<b>"
    report["constants"][0]["name"] = "$^"
    report["reproduce"]["command"] = "</pre><script>"
    report["reproduce"]["config"] = {evil: [evil]}
    arrays = run_example.arrays()
    arrays["forecast/baseline__<b>"] = arrays.pop("forecast/baseline_linear")
    arrays["growth/baseline__<b>"] = arrays.pop("growth/baseline_linear")
    rows = [{**row, "phase": evil} for row in run_example.metrics()]
    folder = run_example.write(
        tmp_path / "evil", report=report, arrays=arrays, metrics=rows
    )
    text = write_page(folder).read_text(encoding="utf-8")
    page = Reader(text)
    assert "<script" not in text
    assert "\x00" not in text
    assert "\x1b" not in text
    assert "script" not in {tag for tag, _ in page.tags}
    assert "<script>alert(1)</script>" in page.text  # as words
    assert "$\\frac{ _y" in page.text
    assert "漢字" in page.text


def test_missing_parts_are_left_out(tmp_path):
    """A report with nothing but its keys and no arrays still gives six sections."""
    bare = dict.fromkeys(run_example.report())
    bare |= {"format": 1, "kind": "fit", "title": "bare"}
    folder = run_example.write(tmp_path / "bare", report=bare, arrays={}, metrics=[])
    page = Reader(write_page(folder).read_text(encoding="utf-8"))
    assert len(page.headings) == 6
    assert "svg" not in {tag for tag, _ in page.tags}
    assert "No verdict" in page.text


@pytest.mark.parametrize(
    "gone", ["coverage/", "halving/", "energy/", "constants/", "slot/"]
)
def test_a_panel_without_numbers_is_omitted(tmp_path, gone):
    axis = {
        "coverage/": "share inside the 90 % band",
        "halving/": "change by half the step",
        "energy/": "energy of the forecast",
        "constants/": "correlation of the constants [1]",
        "slot/": "input of the learned term",
    }
    others = tuple(part for part in axis if part != gone)
    arrays = {k: v for k, v in run_example.arrays().items() if k.startswith(others)}
    folder = run_example.write(tmp_path / "part", arrays=arrays, metrics=[])
    text = write_page(folder).read_text(encoding="utf-8")
    for part, words in axis.items():
        assert (words in text) == (part != gone)


def test_several_channels_and_a_forecast_of_another_record(tmp_path):
    """Six channels: four are drawn and it is said; no split time: the forecast
    stands alone; infinite and missing values are left out of the lines."""
    report, arrays = run_example.report(), run_example.arrays()
    row = report["data"]["channels"][0]
    report["data"]["channels"] = [{**row, "name": f"q{k}"} for k in range(6)]
    arrays["data/split_time"] = np.array(np.nan)
    for name, value in list(arrays.items()):
        if name.startswith(("data/", "forecast/")) and value.ndim == 2:
            arrays[name] = np.repeat(value, 6, axis=1)
    arrays["forecast/mean"][200:, 1] = np.inf
    arrays["forecast/truth"][::7] = np.nan
    arrays = {k: v for k, v in arrays.items() if k.startswith(("data/", "forecast/"))}
    folder = run_example.write(
        tmp_path / "many", report=report, arrays=arrays, metrics=[]
    )
    page = Reader(write_page(folder).read_text(encoding="utf-8"))
    assert "q3 [rad]" in page.text
    assert "q4 [rad]" not in page.text
    assert "The first 4 of 6 channels" in page.text
    assert "forecast starts" not in page.text


def test_arrays_of_the_loss_stand_in_for_the_log(tmp_path):
    arrays = run_example.some("loss/")
    folder = run_example.write(tmp_path / "arrays", arrays=arrays, metrics=[])
    page = Reader(write_page(folder).read_text(encoding="utf-8"))
    assert "validation loss" in page.text
    assert "windows of 64" in page.text


def test_do_not_trust_is_said_in_words(tmp_path):
    report = run_example.report()
    report["verdict"].update(
        trust=False, trust_to=None, text="Do not trust: it diverged."
    )
    folder = run_example.write(tmp_path / "bad", report=report, arrays={}, metrics=[])
    text = write_page(folder).read_text(encoding="utf-8")
    assert 'class="verdict bad"' in text
    assert "Do not trust: it diverged." in text


def test_png_figures(tmp_path):
    arrays = run_example.some("growth/", "coverage/")
    paths = write_figures(run_example.write(tmp_path, arrays=arrays), tmp_path / "img")
    assert {p.stem for p in paths} == {"growth", "training", "trust"}
    for path in paths:
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_sections_compose():
    """A study makes a page of its own from the same pieces."""
    blocks = [
        Verdict(None, "open", ["why"]),
        Columns([Text("left")], [Picture("<svg></svg>", "a > b")], even=True),
        Facts([("a", "1"), ("left out", None)]),
        Table(("x", "y"), [("one", "2")], mark=0),
        Points(["p"]),
        Listing("code", "fold"),
        Link("javascript:alert(1)", "a link"),
    ]
    page_ = Reader(page("t", [Section("One", blocks), Section("Two", [])], "study"))
    assert page_.headings == ["1 One", "2 Two"]
    assert "left out" not in page_.text
    assert "a > b" in page_.text
    (link,) = [
        a["href"] for tag, a in page_.tags if tag == "a" and "alert" in a["href"]
    ]
    assert ":" not in link


def test_what_is_no_run_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="no such run folder"):
        write_page(tmp_path / "absent")
    with pytest.raises(CheckpointError, match=r"no report\.json"):
        write_page(tmp_path)
    folder = run_example.write(tmp_path / "run")
    report = copy.deepcopy(run_example.report())
    (folder / "report.json").write_text(json.dumps({**report, "format": 99}))
    with pytest.raises(CheckpointError, match=r"format 99.*newer Pendula"):
        write_page(folder)
    (folder / "report.json").write_text(json.dumps({**report, "verdict": "yes"}))
    with pytest.raises(CheckpointError, match="verdict is 'yes'; expected a dict"):
        write_page(folder)
    (folder / "report.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        write_page(folder)
    (folder / "report.json").write_text(json.dumps(report))
    whole = (folder / "arrays.npz").read_bytes()
    (folder / "arrays.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="arrays"):
        write_page(folder)
    (folder / "arrays.npz").unlink()
    with pytest.raises(CheckpointError, match="Copy the whole folder"):
        write_page(folder)
    assert not (folder / "report.html").exists()


def test_constants_that_vary_have_a_table():
    from pendula.cli._family_numbers import constants_text
    from pendula.report._family_page import _by_name, _constants_of

    systems = [
        {"system": "a", "constants": {"k": [2.0, 0.013], "f": [0.5, None]}},
        {"system": "b", "constants": {"k": [3.0, 0.25], "f": [0.25, 0.1]}},
    ]
    (table,) = _constants_of(["a", "b"], _by_name(systems))
    assert table.head == ("system", "k", "f")
    assert table.rows[0] == ["a", "2 ± 0.013", "0.5000 ± ∞"]
    assert _constants_of(["a"], {}) == []
    assert constants_text({"k": (2.0, 0.013)}) == "k = 2 ± 0.013"
