"""The examples run from start to end, at small size, in an empty folder."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

import small_mode


FOLDER = Path(__file__).parent.parent / "examples"


# The README's example, of the same kind, is run by the fast tests.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("01_pendulum.py", {"pendulum.png"}),
        (
            "02_your_own_csv.py",
            {"measured.csv", "measured.png", "measured.safetensors"},
        ),
        ("03_how_far_to_trust.py", {"trust.png"}),
        ("04_a_driven_system.py", {"driven.png"}),
        ("05_predator_and_prey.py", {"predator.png"}),
        ("06_chaos.py", {"chaos.png"}),
        ("07_solve.py", {"solve.png"}),
    ],
)
def test_example(
    name: str,
    left: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It prints a number and writes its figure."""
    monkeypatch.chdir(tmp_path)
    small_mode.use(monkeypatch)
    runpy.run_path(str(FOLDER / name), run_name="__main__")
    assert {path.name for path in tmp_path.iterdir()} == left
    assert any(character.isdigit() for character in capsys.readouterr().out)


def test_examples_are_short_and_all_run() -> None:
    files = sorted(FOLDER.glob("*.py"))
    assert len(files) == 7
    for path in files:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) < 80
        assert sum(line.startswith("# %%") for line in lines) >= 3
