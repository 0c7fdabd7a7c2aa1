#!/usr/bin/env python3
"""Print constraints.txt: every version that `pip` resolves for Python 3.11 and for
the newest Python found, with markers where the two differ.

Each interpreter resolves in a fresh environment of its own; nothing is installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path


HERE = Path(__file__).parent
LEFT_OUT = {"gpu"}  # extras that are built per driver; jax itself is pinned
DRIVER = ("nvidia-", "cuda-", "triton")  # follow the build of torch or jax


def find_python(version: str) -> str:
    """The path of a Python that runs, by the shared search; empty when none."""
    out = subprocess.run(
        [HERE / "find-python", version], capture_output=True, text=True
    )
    return out.stdout.strip()


def resolve(python: str, requirements: list[str]) -> dict[str, str]:
    """Distribution -> version, as pip would install them into an empty venv."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        report = Path(folder) / "report.json"
        pip = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--dry-run"]
        subprocess.run(
            [*pip, "--report", str(report), *requirements],
            check=True,
            stdout=sys.stderr,
        )
        rows = json.loads(report.read_text())["install"]
    # a local part (+cpu) names one build of a version, not a version to ask for
    return {
        row["metadata"]["name"].lower().replace("_", "-").replace(".", "-"): row[
            "metadata"
        ]["version"].split("+")[0]
        for row in rows
    }


def main() -> None:
    """Resolve for both and print one line for each distribution and version."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    requirements = list(project["dependencies"])
    for extra, needed in project["optional-dependencies"].items():
        if extra not in LEFT_OUT:  # our own extras stand in the list themselves
            requirements += [one for one in needed if not one.startswith("pendula[")]
    old = find_python("3.11")
    new = next(filter(None, map(find_python, ("3.14", "3.13", "3.12"))), "")
    if not old or not new:
        sys.exit("make lock needs a Python 3.11 and one of 3.12, 3.13, 3.14.")
    first, second = resolve(old, requirements), resolve(new, requirements)
    print("# Written by `make lock`: the versions that are tested.")
    for name in sorted({*first, *second}):
        if name.startswith(DRIVER):
            continue
        a, b = first.get(name), second.get(name)
        if a == b:
            print(f"{name}=={a}")
            continue
        if a:
            print(f'{name}=={a}; python_version < "3.12"')
        if b:
            print(f'{name}=={b}; python_version >= "3.12"')


if __name__ == "__main__":
    main()
