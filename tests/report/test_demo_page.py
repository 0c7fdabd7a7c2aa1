"""The page that compares two fits, and the choice between them."""

from __future__ import annotations

import numpy as np
import pytest

import run_example
from pendula.report import choose, narrow_to, read_run, write_figures, write_page


def fit(name, **changes):
    values = {
        "name": name,
        "label": name,
        "trust": True,
        "status": "ok",
        "start": 0.0,
        "until": 10.0,
        "trusted_to": 10.0,
        "narrow_to": 5.0,
        "outside": 0.1,
        "rmse": 0.1,
        "coverage": 0.9,
    }
    return {**values, **changes}


def test_the_narrow_band_is_chosen_whatever_the_truth_says():
    fits = [fit("a", narrow_to=8.0, rmse=9.0), fit("b", narrow_to=4.0, rmse=0.01)]
    choice = choose(fits, "rad", "s")
    assert choice.name == "a"
    assert choice.text == (
        "Trust the fit a, up to 8 s. Do not trust the one b beyond 4 s."
    )
    assert "0.0100 rad b" in choice.reasons[-1]


@pytest.mark.parametrize(
    "why",
    [{"trust": False}, {"status": "diverged"}, {"narrow_to": None}],
)
def test_what_failed_is_never_chosen(why):
    choice = choose([fit("a", narrow_to=8.0) | why, fit("b", narrow_to=1.0)], "", "s")
    assert choice.name == "b"
    assert "Do not trust the one a." in choice.text
    assert choose([fit("a") | why], "", "s").name is None


def test_narrow_to_finds_the_last_narrow_time():
    ts = np.linspace(0, 10, 11)
    half = np.where(ts > 6, 1.0, 0.1)[:, None]
    assert narrow_to(ts, -half, half, 1.0) == 6.0
    assert narrow_to(ts, -0.1 * half, 0.1 * half, 1.0) == 10.0
    assert narrow_to(ts, -half, half, 0.1) is None
    gone = np.where(ts > 2, np.nan, 0.1)[:, None]  # no band at all is not narrow
    assert narrow_to(ts, -gone, gone, 1.0) == 2.0


def test_the_page_sets_them_side_by_side(tmp_path):
    folder = run_example.write_demo(tmp_path / "demo")
    text = write_page(folder).read_text(encoding="utf-8")
    assert text.count("<h2") == 6
    assert "Trust the fit with physics, up to 12 s." in text
    assert "Do not trust the one without beyond 3.1 s." in text
    assert 'href="with_physics/report.html"' in text
    assert text.count("<svg") == 3
    assert read_run(folder).report["kind"] == "demo"
    names = {path.name for path in write_figures(folder, tmp_path / "img")}
    assert names == {"demo.png", "records.png", "errors.png"}
