"""The page of a run folder, by the kind of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._files import replacing
from ._bars_page import BARS_FIGURES, bars_sections
from ._demo_figures import comparison_figure, error_figure, records_figure
from ._demo_page import demo_sections
from ._draw import to_png
from ._family_page import (
    ADAPTED_FIGURES,
    FAMILY_FIGURES,
    adapted_sections,
    family_sections,
)
from ._fit_page import FIGURES, fit_sections
from ._gauge_page import GAUGE_FIGURES, gauge_sections
from ._page import page
from ._run_folder import Run, read_run, write_arrays, write_report
from ._solve_figures import SOLVE_FIGURES
from ._solve_page import solve_sections
from ._toml import to_toml


# kind -> the word above the title, what makes its sections, its figures by name
KINDS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "fit": ("report of a fit", fit_sections, FIGURES),
    "family": ("report of a family", family_sections, FAMILY_FIGURES),
    "adapted": ("report of an adaptation", adapted_sections, ADAPTED_FIGURES),
    "bars": ("report of a chain of bars", bars_sections, BARS_FIGURES),
    "gauge": ("report of a measurement", gauge_sections, GAUGE_FIGURES),
    "solve": ("solution of an equation", solve_sections, SOLVE_FIGURES),
    "demo": (
        "comparison of fits",
        demo_sections,
        {
            "demo": comparison_figure,
            "records": records_figure,
            "errors": error_figure,
        },
    ),
}


def write_page(run_folder: str | Path) -> Path:
    """Make `report.html` of a run from its report.json, arrays.npz and
    metrics.jsonl.

    **Returns:** the path of the page.
    **Raises:** `CheckpointError` when the folder is no run or a file is damaged.
    """
    run = read_run(run_folder)
    word, sections, _ = _kind(run)
    title = str(run.report.get("title") or run.folder.name)
    text = page(title, sections(run), kind=word)
    path = run.folder / "report.html"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")
    return path


def write_figures(run_folder: str | Path, target: str | Path) -> list[Path]:
    """Write every figure of a run as a PNG file into the folder `target`.

    **Returns:** the paths. **Raises:** `CheckpointError` as `write_page`.
    """
    run = read_run(run_folder)
    paths = []
    for name, draw in _kind(run)[2].items():
        figure = draw(run)
        if figure is not None:
            path = Path(target) / f"{name}.png"
            with replacing(path) as temporary:
                to_png(figure, temporary)
            paths.append(path)
    return paths


def write_run(folder: str | Path, fitted: Any, command: str | None = None) -> Path:
    """Write what a finished fit leaves: `config.toml`, `model.safetensors`,
    `arrays.npz`, `report.json` and the page `report.html`, each whole or not at all.

    **Arguments:** `fitted`: has `.report` (the dict of `KEYS`), `.arrays` (NumPy
    arrays by name) and `.save(path)`; `command`: what the user typed, for the page.
    **Returns:** the path of the page.
    """
    folder = Path(folder)
    report = dict(fitted.report)
    reproduce = dict(report.get("reproduce") or {})
    if command is not None:
        reproduce["command"] = command
    report["reproduce"] = reproduce
    fitted.save(folder / "model.safetensors")
    with replacing(folder / "config.toml") as temporary:
        text = to_toml(reproduce.get("config") or {})
        temporary.write_text(text, encoding="utf-8", errors="replace")
    return write_numbers(folder, report, fitted.arrays)


def write_numbers(
    folder: str | Path, report: dict[str, Any], arrays: dict[str, Any]
) -> Path:
    """Write `report.json` and `arrays.npz`, and the page made from them.

    **Returns:** the path of the page.

    ```python
    >>> from pendula.report import write_numbers
    >>> report = {"format": 1, "kind": "fit", "title": "A run without figures"}
    >>> write_numbers("runs/empty", report, {}).name
    'report.html'

    ```
    """
    folder = Path(folder)
    write_arrays(folder / "arrays.npz", arrays)
    write_report(folder / "report.json", report, sealed=True)
    return write_page(folder)


def _kind(run: Run) -> tuple[str, Any, dict[str, Any]]:
    return KINDS.get(str(run.report.get("kind")), KINDS["fit"])
