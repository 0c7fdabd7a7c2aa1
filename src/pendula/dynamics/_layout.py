"""From observed channels to a state: which have hidden velocities."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from .._errors import ConfigError, DataError
from ..data import Trajectories


@dataclasses.dataclass(frozen=True)
class Layout:
    """The state (q, v, z) behind the channels.

    `positions`, `velocities`, `first`: channel indices (a velocity of None is
    hidden); the state is q, then v, then z.
    """

    positions: tuple[int, ...]
    velocities: tuple[int | None, ...]
    first: tuple[int, ...]
    names: tuple[str, ...]
    canonical: bool = False
    """Whether the hidden second half of the state are momenta, not velocities."""

    @property
    def n(self) -> int:
        """Number of second-order coordinates."""
        return len(self.positions)

    @property
    def dim(self) -> int:
        """Size of the state."""
        return 2 * self.n + len(self.first)

    @property
    def observed(self) -> tuple[int, ...]:
        """The state entry behind each channel, in the order of the channels."""
        where: dict[int, int] = {}
        for i, channel in enumerate(self.positions):
            where[channel] = i
        for i, channel in enumerate(self.velocities):
            if channel is not None:
                where[channel] = self.n + i
        for i, channel in enumerate(self.first):
            where[channel] = 2 * self.n + i
        return tuple(where[c] for c in range(len(where)))

    @property
    def state_names(self) -> tuple[str, ...]:
        """A name for every state entry."""
        unseen = "momentum of {}" if self.canonical else "d{}/dt"
        hidden = tuple(
            self.names[c] if c is not None else unseen.format(self.names[p])
            for p, c in zip(self.positions, self.velocities, strict=True)
        )
        return (
            tuple(self.names[p] for p in self.positions)
            + hidden
            + tuple(self.names[c] for c in self.first)
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, without the names of the channels, which stand beside it."""
        return {
            "positions": list(self.positions),
            "velocities": list(self.velocities),
            "first": list(self.first),
            "canonical": self.canonical,
        }

    @classmethod
    def of(cls, about: dict[str, Any]) -> Layout:
        """From a record with `names` and a `layout` that `to_dict` gave."""
        d = about["layout"]
        return cls(
            tuple(d["positions"]),
            tuple(d["velocities"]),
            tuple(d["first"]),
            tuple(about["names"]),
            bool(d.get("canonical", False)),
        )


def check_trajectories(data: Any) -> None:
    """**Raises:** `DataError` for data that are no `Trajectories`, with what makes
    them."""
    if not isinstance(data, Trajectories):
        raise DataError(
            f"the data are of type {type(data).__name__}; expected Trajectories. Read "
            "a file with pendula.read(path), or make them of arrays with "
            "pendula.Trajectories.from_arrays(ts, ys)."
        )


def match_channels(
    data: Trajectories, names: Sequence[str], needs: str
) -> Trajectories:
    """The named channels, in that order.

    **Raises:** `DataError` naming the channel that is missing, after the words of
    `needs`.
    """
    check_trajectories(data)
    missing = [n for n in names if n not in data.names]
    if missing:
        raise DataError(
            f'{needs} "{missing[0]}"; the data have '
            f"{', '.join(data.names)}. Rename the column, or choose other data."
        )
    return data if data.names == tuple(names) else data.channels(names)


def match_inputs(data: Trajectories, names: Sequence[str]) -> Trajectories:
    """The inputs of the model, in its order; more are left out.

    **Raises:** `DataError` naming the input that is missing.
    """
    if data.us is None or data.input_names == tuple(names):
        return data
    missing = [n for n in names if n not in data.input_names]
    if missing:
        raise DataError(
            f'the model needs input "{missing[0]}"; the data have '
            f"{', '.join(data.input_names)}. Rename the column, or choose other data."
        )
    pick = [data.input_names.index(n) for n in names]
    return data.replace(
        f"inputs {list(names)}",
        us=data.us[:, :, pick],
        input_names=tuple(names),
        input_units=tuple(data.input_units[j] for j in pick),
    )


def match_units(
    data: Trajectories,
    units: Sequence[str],
    time_unit: str = "",
    input_units: Sequence[str] | None = None,
) -> None:
    """`DataError` where data of the model's channels are in other units, both being
    stated."""
    inputs = data.input_units if input_units is None else input_units
    rows = [
        *zip(data.names, data.units, units, strict=True),
        *zip(data.input_names, data.input_units, inputs, strict=True),
        ("the time", data.time_unit, time_unit),
    ]
    for name, here, fitted in rows:
        if here and fitted and here != fitted:
            raise DataError(
                f"{name} is in [{here}], and the model was fitted in [{fitted}]. "
                "Convert the column, or repair the unit in the header."
            )


def layout(
    names: Sequence[str], kinds: Sequence[str], pairs: dict[int, int] | None = None
) -> Layout:
    """The layout for `kinds`, one a channel: `"second"`, `"first"`, or
    `"velocity"` (`pairs` maps its channel to that of the position).

    **Raises:** `ConfigError` when they do not fit.
    """
    pairs = pairs or {}
    if len(kinds) != len(names):
        raise ConfigError(f"{len(kinds)} kinds for {len(names)} channels.")
    positions = tuple(i for i, k in enumerate(kinds) if k == "second")
    velocity_of = {position: v for v, position in pairs.items()}
    wrong = [
        p for p in pairs.values() if not 0 <= p < len(kinds) or kinds[p] != "second"
    ]
    if wrong:
        raise ConfigError(f"channel {wrong[0]} is no position, but has a velocity.")
    lost = [i for i, k in enumerate(kinds) if k == "velocity" and i not in pairs]
    if lost:
        raise ConfigError(
            f'channel "{names[lost[0]]}" is a velocity without its position.'
        )
    return Layout(
        positions,
        tuple(velocity_of.get(p) for p in positions),
        tuple(i for i, k in enumerate(kinds) if k == "first"),
        tuple(names),
    )
