"""Where a command talks: results on stdout, progress on stderr, a log in the run."""

from __future__ import annotations

import contextlib
import json
import math
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any

from ._options import Talk


EVERY = 10.0  # seconds between two plain lines of a long computation


ARGUMENTS: ContextVar[tuple[str, ...]] = ContextVar("arguments", default=())


def command() -> str:
    """What was typed, ready to be typed again."""
    return shlex.join(["pendula", *ARGUMENTS.get()])


class Console:
    """One command's voice.

    On a terminal a training shows as a bar; elsewhere as a plain line at once and
    then every 10 s. `--quiet` silences all of it, never a result.
    """

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.log: Path | None = None
        self.began = time.monotonic()

    def say(self, text: str) -> None:
        """A line of progress, at once."""
        if not self.talk.quiet:
            with contextlib.suppress(OSError):
                print(text, file=sys.stderr, flush=True)
        self.note(text)

    def detail(self, text: str) -> None:
        """A line for `--verbose`, kept in the log either way."""
        if self.talk.verbose:
            self.say(text)
        else:
            self.note(text)

    def note(self, text: str) -> None:
        """A line for the run's log only."""
        if self.log is not None and self.log.parent.is_dir():
            seconds = time.monotonic() - self.began
            with self.log.open("a", encoding="utf-8", errors="replace") as file:
                file.write(f"{seconds:8.1f} s  {text}\n")

    def result(self, text: str, data: Any) -> None:
        """The result: text for people, or JSON with `--json`."""
        if self.talk.json:
            print(json.dumps(_plain(data), indent=1, ensure_ascii=False))
        elif text:
            print(text)

    @contextlib.contextmanager
    def training(self) -> Iterator[Callable[[dict[str, Any]], None]]:
        """A function to hand the rows of a training to; it draws while the block
        runs."""
        with _heard() as check, self._drawing() as draw:

            def tell(row: dict[str, Any]) -> None:
                check()
                draw(row)

            yield tell
            check()

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Says what is done while the block runs, and for how long it has been."""
        with self.training() as tell:
            tell({"phase": what})
            yield

    @contextlib.contextmanager
    def _drawing(self) -> Iterator[Callable[[dict[str, Any]], None]]:
        if self.talk.quiet:
            yield lambda row: None
        elif sys.stderr.isatty():
            with _bar() as tell:
                yield tell
        else:
            with _Lines(self.say) as lines:
                yield lines.tell


@contextlib.contextmanager
def _heard() -> Iterator[Callable[[], None]]:
    """A function that raises a Ctrl-C which was lost: one that comes while Python is
    in a callback of a compiled library is printed there and ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    pressed = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    def ignored(lost: Any) -> None:
        # a lost Ctrl-C is raised again by the check; its traceback tells nobody more
        if lost.exc_type is not KeyboardInterrupt:
            told(lost)

    before, told = signal.signal(signal.SIGINT, interrupt), sys.unraisablehook
    sys.unraisablehook = ignored
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
        sys.unraisablehook = told


class _Lines:
    """Plain lines: the first row at once, then the latest every ten seconds. A
    thread keeps the clock, so that a long compile is not silent."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.row: dict[str, Any] | None = None
        self.speed = Speed()
        self.end = threading.Event()
        self.thread = threading.Thread(target=self._clock, daemon=True)

    def __enter__(self) -> _Lines:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end.set()
        self.thread.join()

    def tell(self, row: dict[str, Any]) -> None:
        """Take the latest row; the first one is said at once."""
        first = self.row is None
        self.speed.take(row)
        self.row = row
        if first:
            self.say(describe(row, self.speed))

    def _clock(self) -> None:
        while not self.end.wait(EVERY):
            if self.row is not None:
                self.say(describe(self.row, self.speed))


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[dict[str, Any]], None]]:
    """A rich bar on stderr, one task a phase."""
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=RichConsole(stderr=True)) as progress:
        tasks: dict[str, Any] = {}
        speed = Speed()

        def tell(row: dict[str, Any]) -> None:
            speed.take(row)
            name = str(row.get("phase", "working"))
            if name not in tasks:
                for task in tasks.values():  # the phase before is over
                    progress.stop_task(task)
                tasks[name] = progress.add_task(name, total=row.get("total"), text="")
            text = describe(row, speed, with_phase=False)
            progress.update(tasks[name], completed=row.get("step", 0), text=text)

        yield tell


class Speed:
    """Steps per second of the running phase, without its compile time."""

    def __init__(self) -> None:
        self.phase: Any = None
        self.first: tuple[float, float] | None = None
        self.last: tuple[float, float] | None = None
        self.began = time.monotonic()

    def take(self, row: dict[str, Any]) -> None:
        """Note the step of a row and when it came."""
        now = time.monotonic()
        if row.get("phase") != self.phase:
            self.phase, self.first, self.last, self.began = (
                row.get("phase"),
                None,
                None,
                now,
            )
        if row.get("loss") is not None:
            point = (float(row.get("step", 0)), now)
            self.first = self.first or point
            self.last = point

    @property
    def rate(self) -> float | None:
        """Steps per second, or None before two rows with a loss."""
        if self.first is None or self.last is None or self.last[1] <= self.first[1]:
            return None
        return (self.last[0] - self.first[0]) / (self.last[1] - self.first[1])


def describe(row: dict[str, Any], speed: Speed, *, with_phase: bool = True) -> str:
    """A row of a training as one line: phase, step, losses, speed, time left."""
    parts = []
    step, total = row.get("step"), row.get("total")
    total = total if total and total > 1 else None
    if step is not None and total:
        parts.append(f"step {step}/{total}")
    if row.get("loss") is None:
        waited = time.monotonic() - speed.began
        if total:
            parts.append("compiling" + (f", {waited:.0f} s" if waited >= 1 else ""))
        elif waited >= 1:
            parts.append(f"{waited:.0f} s")
    for key, word in (("loss", "loss"), ("validation", "validation")):
        value = _middle(row.get(key))
        if value is not None:
            parts.append(f"{word} {value:.3g}")
    rate = speed.rate
    if rate:
        parts.append(f"{rate:.3g} steps/s")
        if total and step is not None:
            parts.append(f"{(total - step) / rate:.0f} s left")
    text = ", ".join(parts)
    phase = str(row.get("phase", "working"))
    if not with_phase:
        return text
    return f"{phase}: {text}" if text else phase


def _middle(value: Any) -> float | None:
    """The median of one value a member (a plain list: no array library needed)."""
    values = value if isinstance(value, list) else [value]
    known = sorted(v for v in values if isinstance(v, int | float) and math.isfinite(v))
    return known[len(known) // 2] if known else None


def _plain(value: Any) -> Any:
    """What JSON knows: NumPy values as plain ones, NaN and infinity as null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    return str(value)
