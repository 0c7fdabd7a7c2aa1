"""A hook of mkdocs: formulas become MathML, which browsers draw without a script and
without a file from elsewhere."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert


FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL
)
LEFT = re.compile(r">\\(\w+|\W)<")  # what the converter does not know by its name
KNOWN = {"langle": "\u27e8", "rangle": "\u27e9"}


def on_page_content(text: str, **_: Any) -> str:
    """The page with each formula that `arithmatex` marked as MathML."""
    return FORMULA.sub(_mathml, text)


def _mathml(found: re.Match[str]) -> str:
    display = "block" if found[1] == "div" else "inline"
    text = convert(html.unescape(found[2]), display=display)
    return LEFT.sub(lambda left: f">{KNOWN.get(left[1], left[1])}<", text)
