"""The table of part `vs_pysindy` of study `real_data`."""

from __future__ import annotations

from ._pysindy_fit import PEER
from ._row import Row


ID = "real_data.vs_pysindy"
MAIN = (5, 4)  # noise in percent, trajectories
NOISES, NUMBERS = (5, 1, 0), (4, 1, 10)
HORIZONS = {
    "pendulum": "20 s, nine swings",
    "lorenz": "2.2, two Lyapunov times",
    "lotka_volterra": "20 years, three cycles",
}
_CHOICE = (
    "Both sides choose on the same held-out part: stretches of it whose start states "
    "are fitted, of one window's length; PySINDy among plain, ensemble and weak form, "
    "three ways to differentiate and thresholds, ours among thresholds; both then take "
    "all data in."
)
_TRIED = (
    "The same library (degree three, sine and cosine of the pendulum's angle), its "
    "coefficients fitted through the solver on growing windows with free start states."
)


def cells() -> list[tuple[int, int]]:
    """Noise [%] and trajectories, the main one first."""
    return sorted(
        ((noise, num) for noise in NOISES for num in NUMBERS), key=lambda c: c != MAIN
    )


def cell_key(system: str, noise: int, num: int) -> str:
    """The beginning of a cell's ids."""
    if (noise, num) == MAIN:
        return f"{ID}.{system}"
    return f"{ID}.{system}_n{noise}_t{num}"


def _where(system: str, noise: int, num: int) -> str:
    records = "1 trajectory" if num == 1 else f"{num} trajectories"
    return (
        f"{system}, {noise} % noise, {records}: RMSE of free runs from new, exact "
        f"states over {HORIZONS[system]}, in spreads of the truth, a run for 10 at most"
    )


def _cell_rows(system: str, noise: int, num: int) -> list[Row]:
    key, where = cell_key(system, noise, num), _where(system, noise, num)
    rows = []
    if (noise, num) == MAIN:
        rows.append(
            Row(
                key,
                f"{where}. Ours over PySINDy, median of the draws. {_CHOICE}",
                target=1,
                source=PEER,
                tried=_TRIED,
            )
        )
    rows += [
        Row(f"{key}_ours", f"{where}. Pendula."),
        Row(f"{key}_pysindy", f"{where}. PySINDy.", source=PEER),
    ]
    if (noise, num) == MAIN:
        for side, name, what in (
            ("ours", "Pendula", "Pendula's whole search, compiling included"),
            ("pysindy", "PySINDy", "PySINDy's fits, all candidates, without scoring"),
        ):
            source = "ours" if side == "ours" else PEER
            rows += [
                Row(
                    f"{key}_{side}_terms",
                    f"{system}, the same data: terms of the law that {name} chose.",
                    source=source,
                ),
                Row(
                    f"{key}_{side}_seconds",
                    f"{system}, the same data: {what}.",
                    "s",
                    source=source,
                ),
            ]
    return rows


_EXAMPLE = "PySINDy's own introductory example (Lorenz, 5000 exact samples, defaults)"
EXAMPLE_ROWS = (
    Row(
        f"{ID}.example",
        f"{_EXAMPLE}: equations of three whose terms are the true ones.",
        better="equal",
        target=3,
        source=PEER,
        tried="The call as documented.",
    ),
    Row(
        f"{ID}.example_error",
        f"{_EXAMPLE}: largest relative error of a coefficient.",
        source=PEER,
    ),
)
_MULTIARM = (
    "Measured pendulum, trained on the angle of the first 20 s, free run from a state "
    "fitted on their last 2.5 s"
)
_PEER_MULTIARM = (
    "PySINDy, its library and threshold chosen by the free run over the last third of "
    "the training part, then all of it taken in"
)
MULTIARM_ROWS = (
    Row(
        f"{ID}.multiarm",
        f"{_MULTIARM}: RMSE of the angle from 36.7 to 55 s, the hybrid of part "
        f"multiarm over {_PEER_MULTIARM}.",
        target=1,
        source=PEER,
        tried="Known gravity, friction = classical law times a network.",
    ),
    Row(f"{ID}.multiarm_ours", f"{_MULTIARM}: 36.7 to 55 s, the hybrid.", "rad"),
    Row(
        f"{ID}.multiarm_pysindy",
        f"{_MULTIARM}: 36.7 to 55 s, {_PEER_MULTIARM}.",
        "rad",
        source=PEER,
    ),
    Row(
        f"{ID}.multiarm_pysindy_20_36",
        f"{_MULTIARM}: 20 to 36.7 s, {_PEER_MULTIARM}.",
        "rad",
        source=PEER,
    ),
)
SYSTEMS_ROW = Row(
    f"{ID}.systems",
    "Systems of three (pendulum, Lorenz, Lotka-Volterra; 5 % noise, 4 trajectories) on "
    "which the median of ours/PySINDy is below 1.",
    better="higher",
    target=2,
    source=PEER,
    tried=_TRIED,
)
ROWS = (
    *MULTIARM_ROWS,
    *[row for name in HORIZONS for row in _cell_rows(name, *MAIN)],
    SYSTEMS_ROW,
    *EXAMPLE_ROWS,
    *[
        row
        for name in HORIZONS
        for cell in cells()
        if cell != MAIN
        for row in _cell_rows(name, *cell)
    ],
)
