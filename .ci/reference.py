#!/usr/bin/env python3
"""Write docs/reference.md: one entry for each public name of each sub-package, as
its `__init__.py` re-exports them. mkdocs fills in the docstrings."""

from __future__ import annotations

import ast
from pathlib import Path


ROOT = Path(__file__).parent.parent
SECTIONS = {
    "data": "Data",
    "systems": "Systems",
    "solve": "Integration",
    "nn": "Building blocks",
    "train": "Training",
    "diagnostics": "Diagnostics",
    "dynamics": "Fields, terms and fits",
    "depth": "Networks continuous in depth",
    "sequences": "Networks of sequences",
    "latent": "Latent dynamics",
    "solutions": "Solutions of equations",
    "hardware": "Networks on devices",
    "report": "Report",
    "studies": "Studies and claims",
}


def public_names(package: str) -> list[str]:
    """Names that `pendula.<package>` re-exports, in the order of its file; none
    while there is no such sub-package."""
    path = ROOT / "src" / "pendula" / package / "__init__.py"
    if not path.exists():
        return []
    return [
        alias.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
        if alias.asname == alias.name
    ]


def page() -> str:
    """The whole page."""
    lines = [
        "# Reference",
        "",
        "The public names, from their docstrings. The most used ones are found on",
        "`pendula` itself. This page is written by `make docs`.",
    ]
    for package, title in SECTIONS.items():
        names = public_names(package)
        if names:
            lines += ["", f"## {title}: `pendula.{package}`"]
        for name in names:
            lines += ["", f"::: pendula.{package}.{name}"]
    lines += ["", "## Errors, warnings and status", ""]
    lines += ["::: pendula._errors", "    options:", "      show_root_heading: false"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "reference.md").write_text(page(), encoding="utf-8")
