"""Every example in a docstring, the README and the documentation is run."""

from __future__ import annotations

import ast
import doctest
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import small_mode
from pendula.cli import main


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


# compiled for so long that they run with the slow tests
LONG = {
    "depth/_adapt.py::adapt",
    "depth/_adapt.py::step_errors",
    "depth/_adjoint.py::adjoint_error",
    "depth/_image_net.py::ImageNet",
    "depth/_image_net.py::apply_batch",
    "diagnostics/_convergence.py::convergence_test",
    "diagnostics/_equilibria.py::equilibria",
    "diagnostics/_modified.py::predicted_continuum_error",
    "dynamics/_bar_chain.py::BarChain",
    "dynamics/_bar_push.py::GapPotential",
    "dynamics/_bars.py::ESNN",
    "dynamics/_bars_cells.py::cell_polynomial",
    "dynamics/_bars_code.py::CycleCode",
    "dynamics/_cross.py::adapt_weights",
    "dynamics/_cross.py::cross_fit",
    "dynamics/_family_fit.py::meta_fit",
    "dynamics/_fit_stochastic.py::fit_stochastic",
    "dynamics/_neural_sde.py::fit_sde",
    "dynamics/_next_experiment.py::next_experiment",
    "dynamics/_ring_chain.py::RingChain",
    "dynamics/_rings.py::RingESNN",
    "dynamics/_rings_run.py::ring_path",
    "latent/_certify.py::certify",
    "latent/_fit_decoder.py::fit_decoder",
    "latent/_stein.py::lyapunov_prior",
    "nn/_conditioned.py::Affine",
    "nn/_conditioned.py::bind",
    "report/_choice.py::narrow_to",
    "report/_solve_numbers.py::write_solution",
    "sequences/_fit.py::fit_sequences",
    "sequences/_lru.py::LinearRecurrentUnit",
    "sequences/_orthogonal.py::OrthogonalCell",
    "sequences/_regulariser.py::implicit_regulariser",
    "solutions/_battery.py::SingleParticle",
    "solutions/_battery.py::particle_problem",
    "solutions/_certificate.py::certify",
    "solutions/_constrain.py::constrain",
    "solutions/_family_solve.py::solve_family",
    "solutions/_flame.py::flame_problem",
    "solutions/_gaussian_process.py::GaussianProcess",
    "solutions/_lagrangian.py::EulerianView",
    "solutions/_lagrangian.py::lagrangian",
    "solutions/_networks.py::build",
    "solutions/_networks_gated.py::PirateNet",
    "solutions/_networks_gaussian.py::GaussianNet",
    "solutions/_solve.py::solve",
    "solutions/_subdomains.py::solve_subdomains",
    "solutions/_width.py::width_decay",
    "solve/_adaptive.py::Adaptive",
    "systems/_cell_energy.py::cell_energy",
    "systems/_rod_simulate.py::rod_path",
    "systems/_rod_simulate.py::simulate_rod",
}


def _example(path: Path, name: str, text: str, line: int) -> Any:
    key = f"{path.relative_to(SOURCE)}::{name}"
    marks = [pytest.mark.slow] if key in LONG else []
    return pytest.param(path, name, text, line, id=key, marks=marks)


EXAMPLES = [
    _example(path, *found)
    for path in sorted(SOURCE.rglob("*.py"))
    for found in _docstrings(path)
]


def test_the_long_examples_are_there() -> None:
    assert {example.id for example in EXAMPLES} >= LONG


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


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of the fenced blocks of a page, in order."""
    return _FENCE.findall(page.read_text(encoding="utf-8"))


def _commands(text: str) -> list[list[str]]:
    """The commands of a shell block: continued lines joined, comments dropped."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def _run_program(arguments: list[str]) -> None:
    """`pendula ARGUMENTS` in this process; it must end well. What a fit of the small
    size is worth is not asked: a failed `check` is a result, too."""
    code = main(arguments)
    good = {0, 1} if arguments[0] == "check" else {0}
    assert code in good, f"pendula {shlex.join(arguments)} ended with {code}"


RUNNING = [page for page in PAGES if {"python", "sh"} & {k for k, _ in _blocks(page)}]


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page,
            id=page.name,
            marks=[] if page.name == "README.md" else pytest.mark.slow,
        )
        for page in RUNNING
    ],
)
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page run in order in one folder and one namespace: `python` as
    it stands, `pendula` commands of `sh` blocks; `make` targets must exist."""
    monkeypatch.chdir(tmp_path)
    # of the README one stage of windows, once: each stage is a program of its own
    short = {"steps": 6, "window": 1.6, "refit": False}
    small_mode.use(monkeypatch, **(short if page.name == "README.md" else {}))
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    names: dict = {"__name__": page.stem}
    for language, text in _blocks(page):
        if language == "python":
            exec(compile(text, page.name, "exec", dont_inherit=True), names)
        for command in _commands(text) if language == "sh" else []:
            if command[0] == "pendula":
                _run_program(command[1:])
            elif command[0] == "make":
                assert command[1] in targets


def _source_text() -> str:
    """Every string of the source, the pieces of one message joined; the Makefile's
    messages too."""
    pieces = [(ROOT / "Makefile").read_text(encoding="utf-8")]
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (getattr(value, "value", "") for value in node.values)
                pieces.append("".join(p if isinstance(p, str) else "…" for p in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                pieces.append(node.value)
    return "\n".join(pieces)


def test_troubleshooting_quotes_real_messages() -> None:
    """Each heading in backticks is the text of a message or the name of a status."""
    from pendula import Status

    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    source = _source_text()
    quoted = [
        text
        for heading in re.findall(r"^#+ .*$", page, re.M)
        for text in re.findall(r"`([^`]+)`", heading)
    ]
    assert len(quoted) > 20
    unknown = [t for t in quoted if t not in source and t not in Status.__members__]
    assert unknown == []


@pytest.mark.parametrize(
    "topic",
    [
        "NaN loss",
        "step_too_small",
        "Loss plateau",
        "Exploding rollout",
        "Recompilation",
        "Unequal grids",
        "Missing data",
        "Inputs and forcing",
        "Resume",
        "GPU slower than CPU",
    ],
)
def test_troubleshooting_answers_by_name(topic: str) -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert any(topic in heading for heading in re.findall(r"^#+ .*$", page, re.M))


def test_architecture_page_names_the_rooms_there_are() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(\w+)/` \|", page, re.M))
    assert told == {path.parent.name for path in SOURCE.glob("*/*.py")}


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            if not target.startswith("http") and target != "reference.md":  # built
                assert (page.parent / target).exists(), f"{page.name}: {target}"
