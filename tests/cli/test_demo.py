"""The demonstration: what it leaves, and that it chooses well without the truth."""

from __future__ import annotations

import json

import pytest

from pendula.report import read_run


def test_it_replaces_only_itself(pendula, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    done = pendula("demo", "--out", "mine")
    assert done.status == 2
    assert "other things" in done.err
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


@pytest.mark.slow
def test_the_demonstration(pendula, tmp_path, monkeypatch):
    """At full size: the fit with physics is chosen; the truth, of which the choice
    knows nothing, agrees by a factor of ten (measured: 45)."""
    monkeypatch.delenv("PENDULA_SMALL", raising=False)
    done = pendula("demo", "--out", "show", "--json")
    assert done.status == 0, done.err
    assert done.err.splitlines()[0].startswith("making six")
    found = json.loads(done.out)
    assert found["trust"] == "with_physics"
    assert "Do not trust the one without physics" in found["text"]
    errors = {fit["name"]: fit["rmse"] for fit in found["fits"]}
    assert 10 * errors["with_physics"] < errors["without_physics"]
    run = read_run(tmp_path / "show")
    assert run.report["test"]["wide"] > 1.5 * run.report["test"]["trained"][1]
    text = (tmp_path / "show" / "report.html").read_text(encoding="utf-8")
    assert text.count("<h2") == 6
    for name in ("with_physics", "without_physics"):
        assert f'href="{name}/report.html"' in text
        assert (tmp_path / "show" / name / "report.html").exists()
    again = pendula("report", "show", "--png", "img")
    assert again.status == 0
    assert (tmp_path / "img" / "demo.png").exists()
