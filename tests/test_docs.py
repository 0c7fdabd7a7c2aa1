"""Every example in a docstring, the README and the documentation is run."""

from __future__ import annotations

import ast
import doctest
from collections.abc import Iterator
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "pendula"


def _docstrings(path: Path) -> Iterator[tuple[str, str, int]]:
    """Name, text and first line of every docstring with an example."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        text = ast.get_docstring(node)
        if text and ">>>" in text:
            name = getattr(node, "name", path.stem)
            yield name, text, getattr(node, "lineno", 1)


EXAMPLES = [
    pytest.param(path, name, text, line, id=f"{path.relative_to(SOURCE)}::{name}")
    for path in sorted(SOURCE.rglob("*.py"))
    for name, text, line in _docstrings(path)
]


@pytest.mark.parametrize(("path", "name", "text", "line"), EXAMPLES)
def test_docstring(
    path: Path,
    name: str,
    text: str,
    line: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each docstring stands alone: it imports what it uses."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENDULA_SMALL", "1")
    case = doctest.DocTestParser().get_doctest(text, {}, name, str(path), line)
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(case)
    result = capsys.readouterr().out
    assert not result, result
