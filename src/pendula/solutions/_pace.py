"""How long the next window is."""

from __future__ import annotations

import numpy as np


_STUCK = 0.6  # of the residual before, when a shorter window has no less
_SHORT = 0.4  # of windows before: when other neurons are tried
_FLOOR = 1.3  # over the residual that no window is too short for
_POOL = 0.1  # of the tolerance: for windows that need more than their share
_IDLE = 0.1  # of what is allowed: below it fewer neurons would do


class Pace:
    """Lengths of windows, from how large the residual between the points is.

    Each window may have its share of the tolerance, by length, and a few that need
    more (a start that does not fit) draw on a common pool. A window's residual counts
    with its length: what it adds to the solution.
    """

    def __init__(self, t0: float, t1: float, tol: float, most: int) -> None:
        self.t, self.t1, self.span, self.tol = t0, t1, t1 - t0, tol
        self.least = self.span / most
        self.length = self.span
        self.pool = _POOL * tol
        self.floor = 0.0  # residual that is tolerated whatever the tolerance
        self.before = np.inf
        self.longest = 0.0  # that was refused from here on
        self.last = 0.0  # length that was accepted lately

    def left(self) -> float:
        """Time that is left, 0 at the end."""
        left = self.t1 - self.t
        return left if left > 1e-12 * self.span else 0.0

    def next_length(self) -> float:
        """Of the next window; no short rest is left over."""
        self.length = min(max(self.length, self.least), self.t1 - self.t)
        if self.left() - self.length < 0.2 * self.length:
            self.length = self.t1 - self.t
        return self.length

    def allows(self, check: float) -> bool:
        """Whether a window with that residual is good enough."""
        return bool(check <= self._allowed())

    def _share(self) -> float:
        return self.tol * self.length / self.span

    def _allowed(self) -> float:
        return max(self._share() + self.pool, self.floor * self.length)

    def is_shortest(self) -> bool:
        """Whether windows cannot be shorter."""
        return bool(self.length <= self.least)

    def is_stuck(self, check: float) -> bool:
        """Whether a shorter window will not help: per time, the residual did not fall
        to 0.6 of what it was, as it does for powers of the length from 2.5 on."""
        slow = check / self.length > _STUCK * self.before
        return bool(slow or self.is_shortest())

    def is_short(self) -> bool:
        """Whether it is far shorter than the windows before."""
        return bool(self.length < _SHORT * self.last)

    def tolerate(self, check: float) -> None:
        """From here on so much, whatever was asked for."""
        self.floor = _FLOOR * check / self.length

    def shorten(self, check: float) -> None:
        """After a window that was refused: the residual falls fast with the length."""
        self.before = min(self.before, check / self.length)
        self.longest = max(self.longest, self.length)
        ratio = self._share() / check
        self.length *= float(np.clip(ratio**0.25, 0.3, 0.7))

    def again(self) -> None:
        """With more neurons: half the way back to where they had been too few."""
        if self.longest > 0.0:
            self.length = float(np.sqrt(self.length * self.longest))
        self.before, self.longest = np.inf, 0.0

    def accept(self, check: float) -> bool:
        """Go on after a window; whether it was far better than it had to be."""
        share = self._share()
        self.pool = max(0.0, self.pool - max(0.0, check - share))
        if check < 0.3 * self._allowed():
            self.floor *= 0.7
        self.t += self.length
        self.before, self.longest = np.inf, 0.0
        self.last = max(self.length, 0.8 * self.last)
        ratio = max(share, self.floor * self.length) / max(check, 1e-300)
        self.length *= float(np.clip(ratio**0.15, 1.0, 1.6))
        return bool(check < _IDLE * share)
