"""`pendula data list` and `pendula data fetch`: data sets by name."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from .._columns import columns
from ._console import Console
from ._options import TALK, Talk


MEGABYTE = 1e6


def list_(*, talk: Talk = TALK) -> int:
    """The named data sets: what they are, their licence, whether they are here."""
    from ..data import named

    rows = named()
    cells = [
        [
            row["name"],
            "here" if row["present"] else "-",
            row["licence"] or "no licence stated",
            row["about"],
        ]
        for row in rows
    ]
    text = columns(["name", "files", "licence", "what"], cells)
    if not any(row["present"] for row in rows):
        text += "\nPENDULA_DATA names the folder that holds the files."
    Console(talk).result(text, rows)
    return 0


def fetch(
    url: Annotated[str, Parameter(help="Address of one data file (http, https).")],
    /,
    *,
    sha256: Annotated[str, Parameter(help="Its checksum, as sha256sum prints it.")],
    licence: Annotated[str, Parameter(help="Under which it may be used.")],
    name: Annotated[
        str | None, Parameter(help="Of the set; without, the file's.")
    ] = None,
    talk: Talk = TALK,
) -> int:
    """Download a data file once, check it, keep it with its licence."""
    from ..data import fetch as get

    console, said = Console(talk), [0.0]
    console.say(f"fetching {url}")

    def tell(have: int, whole: int | None) -> None:
        if have >= said[0] + 10 * MEGABYTE:
            said[0] = have
            of = "" if whole is None else f" of {whole / MEGABYTE:.0f}"
            console.say(f"{have / MEGABYTE:.0f}{of} MB")

    path = get(url, sha256=sha256, licence=licence, name=name, tell=tell)
    known = path.parent.name
    console.result(
        f"{path}\nOpen it by its name: pendula inspect {known}",
        {"name": known, "file": str(path), "licence": licence.strip()},
    )
    return 0
