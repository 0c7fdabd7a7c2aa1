"""The house rules that a machine can check: who imports whom, how long a file is,
what has a docstring. They read the source; only two tests run any of it."""

from __future__ import annotations

import ast
import itertools
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pendula


ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "pendula"
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}

# The arrows of docs/architecture.md: what each sub-package may import.
ROOMS = {
    "dynamics",
    "depth",
    "sequences",
    "latent",
    "solutions",
    "operators",
    "hardware",
}
GROUND = {"data", "systems", "solve", "nn"}
BELOW_ROOMS = GROUND | {"train", "diagnostics"}
MAY_IMPORT = {
    "data": set(),
    "solve": set(),
    "nn": set(),
    "systems": {"data", "solve"},
    "train": GROUND,
    "diagnostics": GROUND | {"train"},
    **{room: BELOW_ROOMS for room in ROOMS},
    "report": BELOW_ROOMS | ROOMS,
    "studies": BELOW_ROOMS | ROOMS | {"report"},
    "cli": BELOW_ROOMS | ROOMS | {"report", "studies"},
}
FORBIDDEN = ("equinox.internal", "jax._src", "jax.core", "pickle")


def _id(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    """The full module name of a `from ... import`, relative or not."""
    package = ["pendula", *path.relative_to(SOURCE).parent.parts]
    if not node.level:
        return node.module or ""
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every imported module or name as a dotted path, inside functions too."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield f"{_absolute(path, node)}.{alias.name}", node.lineno
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", ""))
            == "import_module"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value), node.lineno


def _room(path: Path) -> str | None:
    parts = path.relative_to(SOURCE).parts
    return parts[0] if len(parts) > 1 else None


def _wrong_arrows(path: Path) -> list[str]:
    """Imports of `path` that the table does not allow."""
    program = path == SOURCE / "__main__.py"  # the other door of the program
    room = "cli" if program else _room(path)
    wrong = []
    for name, line in _imports(path):
        parts = name.split(".")
        if parts[0] != "pendula" or len(parts) < 2:
            continue
        target = parts[1]
        if target not in MAY_IMPORT or target == room:
            continue
        where = f"{_id(path)}:{line} imports {name}"
        if room is None or target not in MAY_IMPORT[room]:
            wrong.append(where)
        elif len(parts) > 2 and parts[2].startswith("_"):
            wrong.append(f"{where}, a private module of {target}")
    return wrong


def test_imports_point_one_way() -> None:
    assert [line for path in FILES for line in _wrong_arrows(path)] == []


def test_a_wrong_arrow_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself: an arrow against the order, a private module, and a room
    that imports a room are found, also inside a function."""
    path = SOURCE / "dynamics" / "_example.py"
    code = (
        "from ..data import Trajectories\n"
        "from .._errors import DataError\n"
        "def f():\n"
        "    from ..report import page\n"
        "    from ..data._table import read\n"
        "    import pendula.depth\n"
    )
    monkeypatch.setitem(TREES, path, ast.parse(code))
    found = _wrong_arrows(path)
    assert len(found) == 3
    assert [line.split(" ")[0][-1] for line in found] == ["4", "5", "6"]


def test_the_ground_floor_has_no_cycles() -> None:
    """The table itself is free of cycles: each room comes after what it imports."""
    done: set[str] = set()
    left = dict(MAY_IMPORT)
    while left:
        ready = {name for name, needs in left.items() if needs <= done}
        assert ready, f"a cycle among {sorted(left)}"
        done |= ready
        left = {name: needs for name, needs in left.items() if name not in ready}


def test_every_folder_is_a_room_of_the_table() -> None:
    folders = {path.parent.name for path in FILES if _room(path) is not None}
    assert folders <= set(MAY_IMPORT)
    assert max(len(path.relative_to(SOURCE).parts) for path in FILES) <= 2


def test_no_internals_of_other_libraries() -> None:
    found = [
        f"{_id(path)}:{line} imports {name}"
        for path in FILES
        for name, line in _imports(path)
        if any(f"{name}.".startswith(f"{bad}.") for bad in FORBIDDEN)
    ]
    assert found == []


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_sizes() -> None:
    """At most 600 lines in a file and 100 in a function, its docstring apart."""
    long = [_id(path) for path in FILES if len(_lines(path)) > 600]
    for path in FILES:
        for function in _functions(TREES[path]):
            has_docstring = ast.get_docstring(function) is not None
            body = function.body[1:] if has_docstring else function.body
            if body and function.end_lineno - body[0].lineno >= 100:
                long.append(f"{_id(path)}:{function.lineno} {function.name}")
    assert long == []


def _documented_in_abstract_classes() -> Iterator[str]:
    """Names of methods and attributes whose meaning an abstract class tells; the text
    of an attribute is the string that follows it."""
    for tree in TREES.values():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef):
                continue
            if not node.name.startswith("Abstract"):
                continue
            for one, after in itertools.pairwise([*node.body, None]):
                if isinstance(one, ast.FunctionDef) and ast.get_docstring(one):
                    yield one.name
                if isinstance(one, ast.AnnAssign) and isinstance(after, ast.Expr):
                    yield one.target.id


ABSTRACT = set(_documented_in_abstract_classes())


def _undocumented(tree: ast.Module) -> Iterator[str]:
    if not ast.get_docstring(tree):
        yield "the module"
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield node.name
        for method in node.body if isinstance(node, ast.ClassDef) else []:
            if (
                isinstance(method, ast.FunctionDef)
                and not method.name.startswith("_")
                and method.name not in ABSTRACT
                and not ast.get_docstring(method)
            ):
                yield f"{node.name}.{method.name}"


def test_docstrings() -> None:
    """Modules, public classes, functions and methods say what they are; what
    fulfils something abstract need not repeat it."""
    missing = [
        f"{_id(path)}: {name}" for path in FILES for name in _undocumented(TREES[path])
    ]
    assert missing == []


def _names_of(node: ast.expr | None) -> set[str]:
    if node is None:
        return {"everything"}
    found = node.elts if isinstance(node, ast.Tuple) else [node]
    return {getattr(item, "attr", getattr(item, "id", "")) for item in found}


def test_errors_are_caught_by_name() -> None:
    """No `except Exception`; a missing package is said, never passed over."""
    found = []
    for path in FILES:
        for node in ast.walk(TREES[path]):
            if not isinstance(node, ast.ExceptHandler):
                continue
            names = _names_of(node.type)
            raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            if names & {"Exception", "BaseException", "everything"} or (
                names & {"ImportError", "ModuleNotFoundError"} and not raises
            ):
                found.append(f"{_id(path)}:{node.lineno} catches {sorted(names)}")
    assert found == []


def test_the_library_does_not_print() -> None:
    found = [
        f"{_id(path)}:{node.lineno}"
        for path in FILES
        if _room(path) != "cli"
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]
    assert found == []


def test_exemptions_have_a_code_and_a_reason() -> None:
    forms = {
        "# noqa": r"# noqa: [A-Z]+\d+(, ?[A-Z]+\d+)* \S+",
        "# type: ignore": r"# type: ignore\[[\w, -]+\]\s+# \S+",
        "# pyright: ignore": r"# pyright: ignore\[[\w, -]+\]\s+# \S+",
    }
    found = [
        f"{_id(path)}:{number} {line.strip()}"
        for path in FILES
        for number, line in enumerate(_lines(path), 1)
        for mark, form in forms.items()
        if mark in line and not re.search(form, line)
    ]
    assert found == []


def test_public_names_are_reexported_on_purpose() -> None:
    """`from ._x import Y as Y` in each sub-package, as type checkers want it."""
    found = [
        f"{_id(path)}: {alias.name}"
        for path in FILES
        if path.name == "__init__.py" and _room(path) is not None
        for node in TREES[path].body
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
        if alias.asname != alias.name
    ]
    assert found == []


def test_the_table_of_public_names_and_its_stub_agree() -> None:
    stub = ast.parse((SOURCE / "__init__.pyi").read_text(encoding="utf-8"))
    declared = {
        alias.asname
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared == set(pendula.__all__) - {"__version__"}
    for name in pendula.__all__:
        assert getattr(pendula, name) is not None
        assert name in dir(pendula)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = pendula.no_such_name


def test_import_is_light() -> None:
    """`import pendula` and the program's parser load no array library."""
    code = (
        "import sys, pendula\n"
        "import importlib.util as u\n"
        "if u.find_spec('pendula.cli'): import pendula.cli\n"
        "print(sorted({'jax', 'numpy', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def _committed() -> list[Path]:
    """Text files of the checkout: what git tracks, or the known folders."""
    listed = [
        path
        for folder in ("src", "tests", "docs", "examples", "benchmarks", ".ci")
        for path in (ROOT / folder).rglob("*")
    ]
    kinds = {".py", ".pyi", ".md", ".toml", ".txt", ".yml", ".cff", ".json", ""}
    top = [path for path in ROOT.iterdir() if path.name != ".git"]
    return [
        path
        for path in [*listed, *top]
        if path.is_file() and path.suffix in kinds and "__pycache__" not in path.parts
    ]


def test_no_path_of_a_machine() -> None:
    """No file names a folder that exists on one machine only."""
    pattern = re.compile(r"(?<![\w.$}~])/(?:home|root|work|Users)/\w")
    for path in _committed():
        found = pattern.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path.relative_to(ROOT)}: {found.group()}"


def test_an_unpacked_source_package_can_run_its_own_checks() -> None:
    """What the Makefile, the checks and the tests name is shipped with the source."""
    files = [ROOT / "Makefile", *(ROOT / ".ci").iterdir(), *(ROOT / "tests").rglob("*")]
    kinds = {".py", ".txt", ""}
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for path in files
        if path.is_file() and path.suffix in kinds
    )
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").replace("/", "").split()
    needed = {
        path.name
        for path in ROOT.iterdir()
        if path.name not in {*ignored, ".git", ".gitignore", "pyproject.toml"}
        and re.search(rf"(?<![\w/.]){re.escape(path.name)}\b", text)
    }
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shipped = rules["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {".ci", "src", "tests", "mkdocs.yml"} <= needed
    assert needed <= {name.removeprefix("/") for name in shipped}


def test_few_real_processes() -> None:
    """At most eight tests start a process of their own: each costs seconds."""
    calls = 0
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = getattr(node.func.value, "id", "")
                calls += owner == "subprocess" and node.func.attr in {"run", "Popen"}
    assert calls <= 8


def _reference() -> dict[str, Any]:
    """What the script that lists the public names defines."""
    return runpy.run_path(str(ROOT / ".ci" / "reference.py"))


def test_the_reference_lists_every_room_with_public_names() -> None:
    rooms = {p.parent.name for p in (ROOT / "src/pendula").glob("*/__init__.py")}
    names = _reference()["public_names"]
    there = {room for room in rooms if names(room)} - {"cli"}  # `pendula --help`
    assert there == set(_reference()["SECTIONS"])


def test_public_names_have_a_definition_of_their_own() -> None:
    """The reference finds no name that is set together with others."""
    public, lost = _reference()["public_names"], []
    for path in (ROOT / "src/pendula").glob("*/*.py"):
        room = path.parent.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
                lost += sorted(_names_of(node.targets[0]) & set(public(room)))
    assert lost == []


def test_public_constants_say_what_they_are() -> None:
    """The reference shows the text below a constant's value."""
    public, silent = _reference()["public_names"], []
    for path in (ROOT / "src/pendula").glob("*/*.py"):
        from_here = _imported_from(path) & set(public(path.parent.name))
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for node, after in zip(body, [*body[1:], None], strict=True):
            if isinstance(node, ast.Assign):
                names = _names_of(node.targets[0]) & from_here
            elif isinstance(node, ast.AnnAssign):
                names = _names_of(node.target) & from_here
            else:
                continue
            text = after.value if isinstance(after, ast.Expr) else None
            silent += [] if isinstance(text, ast.Constant) else sorted(names)
    assert silent == []


def _imported_from(path: Path) -> set[str]:
    """Names that the sub-package of a file imports from it."""
    init = ast.parse((path.parent / "__init__.py").read_text(encoding="utf-8"))
    return {
        alias.name
        for node in ast.walk(init)
        if isinstance(node, ast.ImportFrom) and node.module == path.stem
        for alias in node.names
    }
