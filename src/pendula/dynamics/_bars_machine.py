"""A chain of bars as one tells a program of it: what it is made of, how it is held."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np

from .._errors import ConfigError, DataError, DataWarning
from ..data import Trajectories
from ..systems import SlinkyCase, bars_of
from ._bar_chain import BarChain, BarWorld


STILL = 1e-3  # a bar that goes less than this share of the longest way is held
FAR = 0.2  # of the longest way, which no bar goes that is held
TREMBLES = 0.05  # of the greatest spread, up to which a bar may tremble


@dataclasses.dataclass(frozen=True)
class BarsMachine:
    """What a record of bars does not show; SI units. The defaults are the Slinky's.

    ```python
    >>> from pendula.dynamics import BarsMachine
    >>> machine = BarsMachine(mass=3e-3, last=False)
    >>> float(machine.world().mass), machine.last
    (0.003, False)

    ```
    """

    mass: float = 2.5e-3
    """Of a bar (a cycle) [kg]."""
    radius: float = 0.033
    """Of a cycle [m]."""
    gravity: tuple[float, ...] = (0.0, -9.8)
    """Along x and y [m/s^2]."""
    stiffness: float = 1.0
    """Young's modulus over that of the material that the energy is learned for."""
    drag: float = 0.0
    """Of the wire, for each length of it [N s/m^2]."""
    wire_length: float = 0.0
    """Wire of a cycle [m]; 0: a circle of that radius."""
    first: bool = True
    """Whether the first bar is held."""
    last: bool = True
    """Whether the last one is."""

    def __post_init__(self) -> None:
        if len(self.gravity) != 2:
            raise ConfigError(
                f"machine.gravity is {list(self.gravity)}; expected two numbers, along "
                "x and y."
            )
        self.world()  # refuses what cannot be

    @classmethod
    def of_case(cls, case: SlinkyCase) -> BarsMachine:
        """That of a case of the Slinky."""
        own = case.slinky
        return cls(
            mass=own.cycle_mass,
            radius=own.radius,
            stiffness=case.stiffer,
            drag=case.drag,
            wire_length=own.wire_length,
            last=case.last,
        )

    @classmethod
    def of_record(
        cls,
        data: Trajectories,
        usual: BarsMachine | None = None,
        see: bool = True,
    ) -> tuple[BarsMachine, str]:
        """The machine of records, and who says so: a simulated record says what it is
        of; of another one masses and loads are the `usual` ones and held ends are
        seen (not where `see` is False: they were said).

        **Raises:** `DataError` for other channels, or records that are held
        differently.
        """
        case = SlinkyCase.recorded(data.origin)
        if case is not None:
            return cls.of_case(case), "the record says what it was simulated with"
        usual = cls() if usual is None else usual
        if not see:
            return usual, "nobody said the rest"
        ends = [held_ends(data, i, usual.radius) for i in range(data.num)]
        for i, end in enumerate(ends):
            if end != ends[0]:
                raise DataError(
                    f"record {i} is held {_words(end)}, record 0 {_words(ends[0])}. "
                    "Take records of one machine together, or say how all are held "
                    "with machine.first and machine.last."
                )
        first, last = ends[0]
        own = dataclasses.replace(usual, first=first, last=last)
        return own, "bars that stay are held; nobody said the rest"

    def world(self) -> BarWorld:
        """Masses and loads. **Raises:** `ConfigError` for what cannot be."""
        around = 2.0 * np.pi * self.radius
        x, y = self.gravity
        return BarWorld.of(
            self.mass,
            self.radius,
            (x, y),
            stiffness=self.stiffness,
            drag=self.drag,
            wire_length=self.wire_length or around,
        )

    def on(self, chain: BarChain) -> BarChain:
        """A chain of the same energy as this machine."""
        return dataclasses.replace(
            chain, world=self.world(), first=self.first, last=self.last
        )

    @property
    def held(self) -> str:
        """How it is held, in words."""
        return _words((self.first, self.last))


def held_ends(
    data: Trajectories, record: int = 0, radius: float = 0.033
) -> tuple[bool, bool]:
    """Whether the first and the last bar of a record stay where they are, noise
    apart.

    **Raises:** `DataError` for other channels, less than three bars, or where nothing
    moves.
    """
    _, u, _ = bars_of(data, record)
    if u.shape[1] < 3:
        raise DataError(
            f"the record has {u.shape[1]} bars; a chain has at least 3: two ends and "
            "one between them."
        )
    places = u * np.array([1.0, 1.0, radius])
    way = np.abs(places - places[0]).max(axis=(0, 2))
    if not way.max() > 0.0:
        raise DataError(f"no bar of record {record} moves. Give a record of a motion.")
    still = way <= STILL * way.max()
    # what is measured trembles: second differences of noise are sqrt(6) of it, those
    # of a motion next to nothing
    size = lambda x: np.sqrt(np.mean(np.sum(x**2, axis=2), axis=0))
    spread = size(places - places.mean(axis=0))
    if len(u) > 4:
        noise = size(np.diff(places, 2, axis=0)) / np.sqrt(6.0)
        still |= (spread <= TREMBLES * spread.max()) & (noise >= 0.5 * spread)
    return bool(still[0]), bool(still[-1])


def warn_of_ends(
    data: Trajectories, said: tuple[bool, bool], radius: float = 0.033
) -> None:
    """Warn of an end that is said to be held and goes far, or to be free and stays."""
    for i in range(data.num):
        stays = held_ends(data, i, radius)
        _, u, _ = bars_of(data, i)
        places = u * np.array([1.0, 1.0, radius])
        way = np.abs(places - places[0]).max(axis=(0, 2))
        for end, name in ((0, "first"), (-1, "last")):
            far = way[end] > FAR * way.max()
            if said[end] and far and not stays[end]:
                told = f"goes {way[end]:.2g} m, and is said to be held"
            elif stays[end] and not said[end]:
                told = "stays where it is, and is said to be free"
            else:
                continue
            warnings.warn(
                f"the {name} bar of record {i} {told}: the energy would be learned to "
                f"make up for it. If it is not, say {name}={stays[end]}.",
                DataWarning,
                stacklevel=3,
            )


def _words(ends: tuple[bool, bool]) -> str:
    names: dict[tuple[bool, bool], str] = {
        (True, True): "at both ends",
        (True, False): "at its first end",
        (False, True): "at its last end",
        (False, False): "nowhere",
    }
    return names[ends]
