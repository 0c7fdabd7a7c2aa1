"""What a page is made of: a few frozen blocks that know how to write themselves.

Every text that goes in is plain and is escaped here, once; the only markup that
passes is a figure's SVG, which `_draw` makes.
"""

from __future__ import annotations

import abc
import base64
import dataclasses
import html
import re
from collections.abc import Sequence


# Not allowed in HTML or XML: a hostile column name may hold them.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


_FIRST = re.compile(r"(\.) (?=[A-Z])")


def clean(text: object) -> str:
    """Plain text without characters that a page cannot hold."""
    return _CONTROL.sub("�", str(text))


def escape(text: object) -> str:
    """Plain text as HTML."""
    return html.escape(clean(text), quote=True)


class AbstractBlock(abc.ABC):
    """A piece of a page."""

    @abc.abstractmethod
    def html(self) -> str:
        """The piece as HTML, all its texts escaped."""


@dataclasses.dataclass(frozen=True)
class Text(AbstractBlock):
    """One paragraph; `quiet` sets it smaller."""

    text: str
    quiet: bool = False

    def html(self) -> str:
        kind = ' class="quiet"' if self.quiet else ""
        return f"<p{kind}>{escape(self.text)}</p>"


@dataclasses.dataclass(frozen=True)
class Heading(AbstractBlock):
    """A heading inside a section."""

    text: str

    def html(self) -> str:
        return f"<h3>{escape(self.text)}</h3>"


@dataclasses.dataclass(frozen=True)
class Points(AbstractBlock):
    """A list of sentences."""

    items: Sequence[str]

    def html(self) -> str:
        inner = "".join(f"<li>{escape(item)}</li>" for item in self.items)
        return f"<ul>{inner}</ul>" if inner else ""


@dataclasses.dataclass(frozen=True)
class Facts(AbstractBlock):
    """Pairs of a name and what it is; pairs without a value are left out."""

    rows: Sequence[tuple[str, str | None]]

    def html(self) -> str:
        inner = "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
            for name, value in self.rows
            if value not in (None, "")
        )
        return f"<dl>{inner}</dl>" if inner else ""


@dataclasses.dataclass(frozen=True)
class Table(AbstractBlock):
    """A table of texts; row `mark` is set apart. The columns `words` are set left,
    the others, numbers, right; None: all hold words."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    words: Sequence[int] | None = (0,)
    mark: int | None = None

    def html(self) -> str:
        if not self.rows:
            return ""

        def cells(row: Sequence[str], tag: str) -> str:
            out = []
            for j, cell in enumerate(row):
                number = self.words is not None and j not in self.words
                kind = ' class="n"' if number else ""
                out.append(f"<{tag}{kind}>{escape(cell)}</{tag}>")
            return "".join(out)

        body = "".join(
            f"<tr{' class=mark' if i == self.mark else ''}>{cells(row, 'td')}</tr>"
            for i, row in enumerate(self.rows)
        )
        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        return (
            f'<div class="scroll"><table>{caption}<thead><tr>{cells(self.head, "th")}'
            f"</tr></thead><tbody>{body}</tbody></table></div>"
        )


@dataclasses.dataclass(frozen=True)
class Picture(AbstractBlock):
    """An inline SVG with its caption; `name` is what a screen reader says first."""

    svg: str
    caption: str
    name: str = ""

    def html(self) -> str:
        caption = escape(self.caption)
        return (
            f'<figure role="group" aria-label="{escape(self.name or "figure")}">'
            f"{self.svg}<figcaption>{caption}</figcaption></figure>"
        )


@dataclasses.dataclass(frozen=True)
class Film(AbstractBlock):
    """A short looping picture file with its caption; on paper, and for readers who ask
    for less motion, the `still` instead. `alt` says what is seen."""

    moving: bytes
    still: bytes
    alt: str
    caption: str
    kind: str = "image/webp"

    def html(self) -> str:
        film, still = (
            f"data:{self.kind};base64,{base64.b64encode(raw).decode('ascii')}"
            for raw in (self.moving, self.still)
        )
        calm = "print, (prefers-reduced-motion: reduce)"
        return (
            f'<figure role="group" aria-label="motion"><picture><source media="{calm}" '
            f'srcset="{still}"><img src="{film}" alt="{escape(self.alt)}"></picture>'
            f"<figcaption>{escape(self.caption)}</figcaption></figure>"
        )


@dataclasses.dataclass(frozen=True)
class Listing(AbstractBlock):
    """Text as it is, in a box: a command, a configuration. With a `summary` the box
    is folded."""

    text: str
    summary: str = ""

    def html(self) -> str:
        box = f"<pre>{escape(self.text)}</pre>"
        if not self.summary:
            return box
        return f"<details><summary>{escape(self.summary)}</summary>{box}</details>"


@dataclasses.dataclass(frozen=True)
class Verdict(AbstractBlock):
    """The sentence that the page is for: trust (True), do not trust (False), or
    neither (None), with the reasons."""

    trust: bool | None
    text: str
    reasons: Sequence[str] = ()

    def html(self) -> str:
        kind, sign = {
            True: ("good", "✓"),
            False: ("bad", "✕"),
            None: ("open", "?"),
        }[self.trust]
        # the first sentence is the verdict, the others are what goes with it
        first, _, rest = _FIRST.sub(r"\1\n", self.text, count=1).partition("\n")
        more = f'<p class="more">{escape(rest)}</p>' if rest else ""
        return (
            f'<div class="verdict {kind}"><span class="sign" aria-hidden="true">{sign}'
            f"</span><div><p>{escape(first)}</p>{more}{Points(self.reasons).html()}"
            "</div></div>"
        )


@dataclasses.dataclass(frozen=True)
class Headline(AbstractBlock):
    """One number in large type, its interval, and what it is."""

    value: str
    interval: str
    text: str

    def html(self) -> str:
        return (
            f'<div class="headline"><p class="value">{escape(self.value)}</p>'
            f'<p class="interval">{escape(self.interval)}</p>'
            f"<p>{escape(self.text)}</p></div>"
        )


@dataclasses.dataclass(frozen=True)
class Link(AbstractBlock):
    """A link to a file beside the page."""

    path: str
    text: str

    def html(self) -> str:
        # a path, never an address: the page fetches nothing and runs nothing
        path = escape(self.path.replace(":", "%3A"))
        return f'<p><a href="{path}">{escape(self.text)}</a></p>'


@dataclasses.dataclass(frozen=True)
class Columns(AbstractBlock):
    """Blocks side by side where there is room: a narrow left, a wide right one, or
    two of the same width."""

    left: Sequence[AbstractBlock]
    right: Sequence[AbstractBlock]
    even: bool = False

    def html(self) -> str:
        sides = "".join(
            f"<div>{''.join(block.html() for block in side)}</div>"
            for side in (self.left, self.right)
        )
        return f'<div class="columns{" even" if self.even else ""}">{sides}</div>'


@dataclasses.dataclass(frozen=True)
class Section:
    """A numbered part of a page. `short` is its name in the page's index."""

    title: str
    blocks: Sequence[AbstractBlock]
    short: str = ""

    @property
    def anchor(self) -> str:
        """The name by which the index finds it."""
        word = re.sub(r"[^a-z0-9]+", "-", (self.short or self.title).lower())
        return word.strip("-") or "section"
