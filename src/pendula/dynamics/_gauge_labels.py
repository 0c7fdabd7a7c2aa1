"""What a gauge is calibrated on: checked, scaled, and its faults in words."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from .._errors import ConfigError, DataError, DataWarning, ShapeError
from .._numbers import numbers
from ._gauge_affine import fixed_directions, in_words, left_out, told_directions


FEW = 5  # systems below which a gauge is warned of
LEAST = 3  # systems below which there is none
ROUNDED = 1e-4  # share of its largest entry by which a covariance may be rounded
BETTER = 3.0  # times as exact, from which on another scale is named
ALIKE = 1e-4  # relative error, below which all are as good
TELLING = 0.01  # relative error of a gauge, below which no scale need be named


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Systems with etas and labels; `scaled` and `goal` of spread 1 (and log)."""

    etas: Float[np.ndarray, "system eta"]
    labels: Float[np.ndarray, "system param"]
    covariances: Float[np.ndarray, "system eta eta"] | None
    names: tuple[str, ...]
    units: tuple[str, ...]
    log: tuple[bool, ...]
    shift: Float[np.ndarray, " eta"]
    width: Float[np.ndarray, " eta"]
    mean: Float[np.ndarray, " param"]
    scale: Float[np.ndarray, " param"]
    warnings: tuple[str, ...]

    @property
    def scaled(self) -> np.ndarray:
        """Standardised etas."""
        return (self.etas - self.shift) / self.width

    @property
    def goal(self) -> np.ndarray:
        """Standardised (log) labels."""
        values = logarithms(self.labels, np.array(self.log))
        return (values - self.mean) / self.scale

    def words(self, direction: np.ndarray) -> str:
        """A combination of the scaled labels in terms of the labels."""
        return in_words(direction, self.scale, self.names, self.log)


def calibration(
    etas: Any,
    params: Any,
    names: Sequence[str],
    units: Sequence[str],
    covariances: Any,
    log: bool | Sequence[bool] | None,
    fold: bool,
) -> Calibration:
    """Checked and scaled; refuses what no gauge can be made of."""
    etas, labels = row_tables(etas=etas, params=params)
    count, number = labels.shape
    names, units = named_columns(number, names, units, "phi")
    _check_values(etas, labels, names)
    if count < LEAST:
        raise DataError(
            f"{count} calibrated systems; a gauge needs {LEAST}, and 9 for a conformal "
            "90 % interval. Label more systems."
        )
    told = []
    if count < FEW:
        told.append(
            f"only {count} systems are labelled; the intervals rest on very few errors."
        )
    keep, note = _varying(labels, names)
    told += note
    logs = log_columns(labels, log, names)[keep]
    labels, names = labels[:, keep], tuple(np.array(names)[keep].tolist())
    units = tuple(np.array(units)[keep].tolist())
    known = _covariances(covariances, etas)
    if fold:  # of |eta|: covariances turn with the signs
        turn = np.where(etas < 0, -1.0, 1.0)
        etas = turn * etas
        known = None if known is None else turn[:, :, None] * known * turn[:, None]
    values = logarithms(labels, logs)
    width = etas.std(axis=0)
    still = width <= 1e-9 * np.maximum(np.abs(etas).max(axis=0), 1e-300)
    if still.all():
        raise DataError(
            "eta is the same in all systems: it tells nothing. Adapt each system first."
        )
    return Calibration(
        etas, labels, known, names, units,
        tuple(bool(x) for x in logs), etas.mean(axis=0), np.where(still, 1.0, width),
        values.mean(axis=0), values.std(axis=0), tuple(told),
    )  # fmt: skip


def row_tables(**given: Any) -> list[np.ndarray]:
    """Tables of one row a system, in float64, refused when they do not match."""
    made = {name: numbers(name, table) for name, table in given.items()}
    for name, table in made.items():
        if table.ndim != 2 or table.shape[1] == 0:
            raise ShapeError(
                f"{name} has shape {table.shape}; one row a system and one column a "
                "value is expected."
            )
    if len({len(table) for table in made.values()}) > 1:
        rows = ", ".join(f"{len(table)} of {name}" for name, table in made.items())
        raise ShapeError(f"there are {rows}; give one row a system in each.")
    return list(made.values())


def named_columns(
    number: int, names: Sequence[str], units: Sequence[str], stem: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and units of the columns, numbered where none are given; a text is the
    name (or unit) of one."""
    names = (names,) if isinstance(names, str) else names
    units = (units,) if isinstance(units, str) else units
    names = tuple(names) or tuple(f"{stem}{k + 1}" for k in range(number))
    units = tuple(units) or ("",) * number
    if len(names) != number or len(units) != number:
        raise ConfigError(
            f"{len(names)} names and {len(units)} units for {number} columns; give one "
            "each."
        )
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f'two columns are called "{name}". Rename one.')
    return names, units


def _check_values(etas: np.ndarray, labels: np.ndarray, names: tuple) -> None:
    bad = np.argwhere(~np.isfinite(labels))
    if len(bad):
        i, k = bad[0]
        raise DataError(
            f'system {i} has no label "{names[k]}" (found {labels[i, k]}). Give it, or '
            "leave the system out."
        )
    bad = np.argwhere(~np.isfinite(etas))
    if len(bad):
        i, k = bad[0]
        raise DataError(
            f"system {i} has eta {k + 1} = {etas[i, k]}, which is not finite. Adapt it "
            "again, or leave it out."
        )


def _varying(labels: np.ndarray, names: tuple) -> tuple[np.ndarray, list[str]]:
    """Which labels vary, and a note on those that do not."""
    size = np.maximum(np.abs(labels).max(axis=0), 1e-300)
    keep = np.ptp(labels, axis=0) > 1e-9 * size
    gone = [name for name, k in zip(names, keep, strict=True) if not k]
    if not keep.any():
        raise DataError(
            f"the labels {', '.join(names)} are the same in all systems: there is "
            "nothing to calibrate. Label systems that differ."
        )
    if not gone:
        return keep, []
    plural = len(gone) > 1
    text = (
        f"label{'s' * plural} {', '.join(gone)} {'are' if plural else 'is'} the same "
        "in all systems and left out of the gauge."
    )
    warnings.warn(text, DataWarning, stacklevel=4)
    return keep, [text]


def log_columns(
    table: np.ndarray, log: bool | Sequence[bool] | None, names: tuple
) -> np.ndarray:
    """Which columns are taken on a log scale."""
    positive = np.all(table > 0, axis=0)
    if log is None:
        return positive
    asked = np.full(len(names), log) if isinstance(log, bool) else np.array(log)
    if asked.dtype != bool:  # a text would count as True
        raise ConfigError(
            f"log is {log}; it must be True, False, one of these for each column, or "
            "None for those that are positive."
        )
    if asked.shape != positive.shape:
        raise ConfigError(
            f"log has {asked.size} entries for {len(names)} columns; give one each, "
            "True, False, or None for those that are positive."
        )
    wrong = np.flatnonzero(asked & ~positive)
    if len(wrong):
        raise DataError(
            f'"{names[wrong[0]]}" goes down to {table[:, wrong[0]].min():.3g}; a '
            "logarithm needs positive values. Set log=False for it."
        )
    return asked


def logarithms(table: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """The table with the logarithm of some columns."""
    return np.where(logs, np.log(np.where(logs, table, 1.0)), table)


def _covariances(covariances: Any, etas: np.ndarray) -> np.ndarray | None:
    if covariances is None:
        return None
    found = covariances_of(covariances, etas)
    bad = np.flatnonzero(~np.isfinite(found).all(axis=(1, 2)))
    if len(bad):
        raise DataError(
            f"the eta of system {bad[0]} is not identified (its covariance is not "
            "finite). Leave the system out of the calibration."
        )
    return found


def covariances_of(given: Any, etas: np.ndarray) -> np.ndarray:
    """Covariances `"system eta eta"`, checked one by one; entries that are not finite
    are left."""
    found = numbers("covariances", given)
    expected = (*etas.shape, etas.shape[1])
    if found.shape != expected:
        raise ShapeError(
            f"covariances has shape {found.shape}; expected {expected}, one matrix a "
            "system."
        )
    for i, one in enumerate(found):
        check_covariance(one, f"the covariance of the eta of system {i}")
    return found


def check_covariance(covariance: np.ndarray, what: str) -> None:
    """Refuse a matrix that is no covariance: taken as one, it would make an interval
    too narrow. Entries that are not finite say what is not identified, and may stay."""
    open_ = ~np.isfinite(covariance).all(axis=0) | ~np.isfinite(covariance).all(axis=1)
    told = covariance[np.ix_(~open_, ~open_)]
    least = -ROUNDED * np.abs(told).max(initial=0.0)
    if np.abs(told - told.T).max(initial=0.0) > -least:
        reason = "is not symmetric"
    elif np.linalg.eigvalsh(told).min(initial=0.0) < least:
        reason = "has a negative variance in some direction"
    else:
        return
    raise DataError(f"{what} {reason}. Give the matrix that the adaptation returned.")


def check_enough_etas(made: Calibration, fold_of: np.ndarray) -> None:
    """Refuse fewer etas than labels, and say what the etas do tell."""
    count, number = made.etas.shape[1], made.labels.shape[1]
    if count >= number:
        return
    if fixed := [made.words(w) for w in fixed_directions(made.goal)]:
        reason = f"{', '.join(fixed)} never varies in these systems"
    else:
        errors = left_out(made.scaled, made.goal, fold_of)
        told, _ = told_directions(errors, made.goal, made.scaled)
        words = ", ".join(made.words(w) for w in told)
        reason = f"eta tells only {words}" if words else "eta tells none of them"
    raise ConfigError(
        f"{count} eta cannot give {number} labels ({', '.join(made.names)}): a gauge "
        f"is invertible, and {reason}. Label that combination alone, or train with "
        f"{number} etas."
    )


def notes(
    made: Calibration, errors: np.ndarray, fold_of: np.ndarray
) -> tuple[str, ...]:
    """Warnings on labels that cannot be told apart, or are better told on another
    scale, from the errors of the gauge on systems left out."""
    out = [*made.warnings, *_other_scale(made, errors, fold_of)]
    fixed = fixed_directions(made.goal)
    for direction in fixed:
        out.append(
            f"the labels move together: {made.words(direction)} never varies in these "
            "systems, so a change of it is not identifiable."
        )
    told, untold = told_directions(errors, made.goal, made.scaled)
    if untold:
        words = ", ".join(made.words(w) for w in told)
        only = f"only {words} is told by eta" if words else "eta tells no label"
        out.append(f"{only}; what else varies in the labels is not identifiable.")
    return tuple(out)


def _other_scale(
    made: Calibration, errors: np.ndarray, fold_of: np.ndarray
) -> list[str]:
    """A sentence on each logarithmic label that an affine map tells far better as it
    is: its interval is then wide for want of the right scale alone."""
    level, size = made.labels.mean(axis=0), made.labels.std(axis=0)
    plain = left_out(made.scaled, (made.labels - level) / size, fold_of) * size
    off = np.maximum(np.sqrt(np.mean((plain / made.labels) ** 2, axis=0)), ALIKE)
    here = np.sqrt(np.mean((errors * made.scale) ** 2, axis=0))
    return [
        f"{name} is told {here[k] / off[k]:.2g} times as exactly as it is, not as a "
        "logarithm: the law may be linear in it. Set log=False (--linear)."
        for k, name in enumerate(made.names)
        if made.log[k] and here[k] > max(BETTER * off[k], TELLING)
    ]
