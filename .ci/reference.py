#!/usr/bin/env python3
"""Write docs/reference.md and, in docs/reference/, a page for each sub-package: one
entry for each public name, as its `__init__.py` re-exports them. mkdocs fills in the
docstrings."""

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


def overview() -> str:
    """The page that leads to the others: every name under its sub-package."""
    lines = [
        "# Reference",
        "",
        "The public names, from their docstrings. The most used ones are found on",
        "`pendula` itself. These pages are written by `make docs`.",
    ]
    for package, title in SECTIONS.items():
        links = [
            f"[`{name}`][pendula.{package}.{name}]" for name in public_names(package)
        ]
        if links:
            head = f"## [{title}](reference/{package}.md): `pendula.{package}`"
            lines += ["", head, "", ",\n".join(links)]
    lines += ["", "## [Errors, warnings and status](reference/errors.md)"]
    return "\n".join(lines) + "\n"


def page(package: str) -> str:
    """The page of a sub-package."""
    lines = [f"# {SECTIONS[package]}: `pendula.{package}`"]
    for name in public_names(package):
        lines += ["", f"::: pendula.{package}.{name}"]
    return "\n".join(lines) + "\n"


def errors() -> str:
    """The page of errors, warnings and status."""
    head = "# Errors, warnings and status\n\n::: pendula._errors\n"
    return head + "    options:\n      show_root_heading: false\n"


def write() -> None:
    """Write them all."""
    folder = ROOT / "docs" / "reference"
    folder.mkdir(exist_ok=True)
    for package in SECTIONS:
        (folder / f"{package}.md").write_text(page(package), encoding="utf-8")
    (folder / "errors.md").write_text(errors(), encoding="utf-8")
    (ROOT / "docs" / "reference.md").write_text(overview(), encoding="utf-8")


if __name__ == "__main__":
    write()
