"""Every work that the code names is known, and no other."""

import ast
from pathlib import Path

import equinox as eqx

from pendula._source import WORKS, Source, citations
from pendula._tree import sources_of


SOURCE = Path(__file__).parent.parent / "src" / "pendula"


def named():
    """(file, key) of every `Source("key", ...)` in the code."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Source":
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    yield path.name, first.value


def test_works_are_those_that_the_code_names():
    keys = {key for _, key in named()}
    assert keys == set(WORKS)
    assert list(WORKS) == sorted(WORKS)


def test_one_line_a_work_with_its_places():
    given = [
        Source("Landau1976", "section 11"),
        Source("Chen2018"),
        Source("Landau1976", "section 21"),
        Source("Landau1976", "section 11"),
    ]
    first, second = citations(given)
    assert first == WORKS["Chen2018"]
    assert second == f"{WORKS['Landau1976']} (section 11; section 21)"


def test_sources_of_nested_modules_come_once():
    class Inner(eqx.Module):
        source = Source("Chen2018")

    class Outer(eqx.Module):
        parts: tuple
        source = Source("Yin2021")

    tree = {"a": Outer((Inner(), Inner())), "b": 3}
    assert sources_of(tree) == [Source("Yin2021"), Source("Chen2018")]
