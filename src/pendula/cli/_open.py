"""Opening a page, where somebody can see it."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def can_open() -> bool:
    """Whether there is a terminal with a person and a display."""
    if not (sys.stdout.isatty() or sys.stderr.isatty()):
        return False
    has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return sys.platform in ("darwin", "win32") or bool(has_display)


def open_page(path: Path) -> bool:
    """Open a page in the browser; False, quietly, where nobody would see it."""
    if not can_open():
        return False
    import webbrowser

    return webbrowser.open(path.resolve().as_uri())
