"""The files of a run: written whole, read back the same, TOML that Python reads."""

from __future__ import annotations

import json
import math
import re
import string
import tomllib

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import run_example
from pendula._errors import CheckpointError, ConfigError, Status
from pendula.report import (
    interval,
    number,
    percent,
    quantity,
    read_run,
    to_toml,
    write_numbers,
    write_report,
    write_run,
)


def test_write_run_leaves_a_complete_folder(tmp_path):
    folder = tmp_path / "a run ü"
    folder.mkdir()
    arrays = run_example.some("growth/", "data/")
    fitted = run_example.fitted(folder, arrays=arrays)
    page = write_run(folder, fitted, command="pendula fit x.csv")
    assert page == folder / "report.html"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.toml",
        "report.json",
        "arrays.npz",
        "model.safetensors",
        "report.html",
    }
    run = read_run(folder)
    assert run.report["reproduce"]["command"] == "pendula fit x.csv"
    assert set(run.report) == set(run_example.report())
    for name, value in arrays.items():
        np.testing.assert_array_equal(run.arrays[name], value)
    config = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
    assert config == run_example.report()["reproduce"]["config"]


def test_json_has_no_nan(tmp_path):
    """NumPy values become plain ones; what JSON lacks becomes null."""
    values = {"a": np.float32(0.5), "b": np.array([1.0, np.nan]), "c": (1, math.inf)}
    path = write_report(tmp_path / "r.json", values)
    assert json.loads(path.read_text()) == {"a": 0.5, "b": [1.0, None], "c": [1, None]}


def test_a_half_line_of_the_log_is_left_out(tmp_path):
    folder = run_example.write(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"phase": "rates", "st')
    assert read_run(folder).metrics == run_example.metrics()


CHANGES = [
    ("scores.baselines[0].rmse", [0.1], "a number"),
    ("training.phases[0].name", {"a": 1}, "a text"),
    ("data.channels[0].range", "wide", "a list"),
    ("reproduce.versions", ["0.1"], "a table"),
    ("verdict.trust", 1, "true or false"),
    ("data.channels", {"theta": 1.0}, "a list"),
]


@pytest.mark.parametrize(("place", "value", "kind"), CHANGES)
def test_a_value_of_another_kind_is_told_by_its_name(tmp_path, place, value, kind):
    write_numbers(tmp_path, run_example.report(), {})
    path = tmp_path / "report.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    *above, last = re.split(r"[.\[\]]+", place)
    node = report
    for key in above:
        node = node[int(key) if key.isdecimal() else key]
    node[last] = value
    path.write_text(json.dumps(report))
    words = re.escape(f"report.json: {place} is {value!r}; expected {kind}.")
    with pytest.raises(CheckpointError, match=words):
        read_run(tmp_path)
    del node[last]
    path.write_text(json.dumps(report))
    with pytest.raises(CheckpointError, match=re.escape(f"{place} is missing")):
        read_run(tmp_path)


def test_what_a_hand_may_change(tmp_path):
    """Numbers and words, what is not known, and reports of older versions."""
    write_numbers(tmp_path, run_example.report() | {"status": Status.diverged}, {})
    path = tmp_path / "report.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    report["title"] = "Mine"
    report["findings"] = report["findings"][:1]
    report["scores"]["headline"]["value"] = None
    path.write_text(json.dumps(report))
    assert read_run(tmp_path).report["title"] == "Mine"
    del report["kinds"]
    path.write_text(json.dumps(report | {"title": "Old"}))
    assert read_run(tmp_path).report["title"] == "Old"


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False),
    texts,
)
tables = st.recursive(
    st.dictionaries(
        texts, st.one_of(scalars, st.lists(scalars, max_size=3)), max_size=3
    ),
    lambda inner: st.dictionaries(
        texts,
        st.one_of(scalars, inner, st.lists(inner, min_size=1, max_size=2)),
        max_size=3,
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(tables)
def test_toml_reads_back(table):
    assert tomllib.loads(to_toml(table)) == table


def test_toml_refuses_what_it_cannot_hold():
    with pytest.raises(ConfigError, match=r"train\.x is <object"):
        to_toml({"train": {"x": object()}})
    assert tomllib.loads(to_toml({"a": None, "b": {"c": None}})) == {"b": {}}


def test_mixed_lists_of_tables_read_back():
    table = {"a": [{"b": 1}, 2], "c": [], "d": [{"e": {"f": [True]}}]}
    assert tomllib.loads(to_toml(table)) == table


@settings(max_examples=200, deadline=None)
@given(
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)
)
def test_number_keeps_three_digits(x):
    text = number(x)
    assert float(text) == pytest.approx(x, rel=5.1e-3, abs=5e-324)
    assert set(text) <= set(string.digits + "-.e")


def test_number_forms():
    assert number(0.0) == "0"
    assert number(20.0) == "20"
    assert number(0.1) == "0.100"
    assert number(None) == number(float("nan")) == "-"
    assert number(123456.0) == "123456"
    assert number(True) == "yes"
    assert quantity(0.25, "rad") == "0.250 rad"
    assert quantity(3, "1") == "3"
    assert interval(1.0, 2.0, "s") == "1 to 2 s"
    assert interval(None, 2.0) == "-"
    assert percent(0.123) == "12.3 %"
