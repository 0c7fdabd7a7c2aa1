"""One self-contained HTML page out of sections."""

from __future__ import annotations

from collections.abc import Sequence

from ._blocks import Section, escape
from ._style import STYLE


# No network, no script: the browser is told so, and a test reads it.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(title: str, sections: Sequence[Section], kind: str = "report") -> str:
    """A whole page: everything it shows is inside it.

    **Arguments:** `title`: its heading, plain text; `sections`: in order, numbered
    from 1; `kind`: the word above the title.
    **Returns:** the HTML text. It holds no script and fetches nothing.

    ```python
    >>> from pendula.report import Section, Text, page
    >>> text = page("A <first> page", [Section("What came out", [Text("42 mV")])])
    >>> "A &lt;first&gt; page" in text, "<script" in text
    (True, False)

    ```
    """
    anchors = [f"{section.anchor}-{k}" for k, section in enumerate(sections, 1)]
    index = "".join(
        f'<a href="#{anchor}">{k} {escape(section.short or section.title)}</a>'
        for k, (section, anchor) in enumerate(zip(sections, anchors, strict=True), 1)
    )
    parts = "".join(
        f'<section id="{anchor}"><h2><span class="k">{k}</span> '
        f"{escape(section.title)}</h2>"
        f"{''.join(block.html() for block in section.blocks)}</section>"
        for k, (section, anchor) in enumerate(zip(sections, anchors, strict=True), 1)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        # an empty icon: otherwise a browser asks for one
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<header><p class="kind">Pendula <span>{escape(kind)}</span></p>'
        f"<nav>{index}</nav></header>\n<main><h1>{escape(title)}</h1>\n{parts}</main>\n"
        "</body>\n</html>\n"
    )
