"""The affine part of a gauge, and which labels the etas tell at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int


Etas = Float[np.ndarray, "system eta"]
Labels = Float[np.ndarray, "system param"]

THIN = 1e-3  # singular value, relative, from which on a direction counts as flat
LEAST = 1e-4  # the smallest singular value, relative, of an affine map
UNTOLD = 0.5  # share of a direction's variance unexplained when left out: not told
TOGETHER = 0.02  # spread, relative, of a combination of labels that never varies


def regression(etas: Etas, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Rows `"param eta"` and level `"param"` of least squares; ridge where the etas
    are flat or few."""
    count, size = etas.shape
    middle, level = etas.mean(axis=0), labels.mean(axis=0)
    e, p = etas - middle, labels - level
    widths = np.linalg.svd(e, compute_uv=False)
    flat = count <= size or widths[-1] < THIN * widths[0]
    normal = e.T @ e + (THIN**2 * count if flat else 0.0) * np.eye(size)
    rows = np.linalg.solve(normal, e.T @ p).T
    return rows, level - rows @ middle


def affine_start(etas: Etas, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Matrix `"eta eta"` and offset `"eta"` of the invertible map of least squares.

    Its first rows predict the labels. The further rows measure what is left of eta
    after the part that the labels explain, which is 0 when the etas form a surface of
    the labels' dimension.
    """
    size, number = etas.shape[1], labels.shape[1]
    rows, offset = regression(etas, labels)
    if size > number:
        middle = etas.mean(axis=0)
        p, e = labels - labels.mean(axis=0), etas - middle
        back = np.linalg.lstsq(p, e, rcond=None)[0].T
        rest = np.linalg.svd(back)[0][:, number:].T
        rest = rest @ (np.eye(size) - back @ rows)
        rows = np.concatenate([rows, rest])
        offset = np.concatenate([offset, -rest @ middle])
    left, values, right = np.linalg.svd(rows)
    least = LEAST * max(values[0], 1e-6)
    if values[-1] < least:
        rows = left * np.maximum(values, least) @ right
    return rows, offset


def left_out(etas: Etas, labels: Labels, fold_of: Int[np.ndarray, " system"]) -> Labels:
    """Errors of the affine predictions of systems that the fit did not see."""
    errors = np.zeros_like(labels)
    for k in range(int(fold_of.max()) + 1):
        out = fold_of == k
        rows, offset = regression(etas[~out], labels[~out])
        errors[out] = etas[out] @ rows.T + offset - labels[out]
    return errors


def told_directions(
    errors: Labels, labels: Labels, etas: Etas
) -> tuple[list[np.ndarray], int]:
    r"""Combinations of the scaled labels that the etas tell, and the number of those
    that they do not.

    $$ E\,w = \lambda\,C\,w, \quad \lambda < 1/2 $$

    counts them: E are the errors of systems left out, C the labels' variance. Which
    they are is the better seen from canonical correlations of the labels with the
    etas and their squares, which take no harm from a bent relation.
    """
    spread, axes = np.linalg.eigh(labels.T @ labels / len(labels))
    keep = spread > TOGETHER**2 * spread.max()
    white = axes[:, keep] / np.sqrt(spread[keep])
    share = np.linalg.eigvalsh(white.T @ (errors.T @ errors / len(errors)) @ white)
    squares = len(etas) > 3 * etas.shape[1]
    known = np.concatenate([etas, etas**2], axis=1) if squares else etas
    basis = np.linalg.svd(known - known.mean(axis=0), full_matrices=False)[0]
    turned = np.linalg.svd(basis.T @ labels @ white)[2]
    number = int((share < UNTOLD).sum())
    return list((white @ turned.T).T[:number]), len(share) - number


def fixed_directions(labels: Labels) -> list[np.ndarray]:
    """Combinations of the scaled labels that are the same in all systems."""
    spread, axes = np.linalg.eigh(labels.T @ labels / len(labels))
    return [axes[:, k] for k in np.flatnonzero(spread <= TOGETHER**2 * spread.max())]


def in_words(
    direction: np.ndarray,
    scale: np.ndarray,
    names: Sequence[str],
    log: Sequence[bool],
) -> str:
    """A combination of scaled labels in terms of the labels, as "log E - log rho"."""
    kept = np.abs(direction) > 0.1 * np.abs(direction).max()
    weights = np.where(kept, direction / scale, 0.0)
    weights = weights / np.abs(weights).max()
    weights = weights * np.sign(weights[np.flatnonzero(kept)[0]])
    text = ""
    for weight, name, is_log in zip(weights, names, log, strict=True):
        if weight == 0:
            continue
        size = "" if abs(abs(weight) - 1) < 0.05 else f"{abs(weight):.2g} "
        sign = " - " if weight < 0 else " + " if text else ""
        text += f"{sign}{size}{'log ' * is_log}{name}"
    return text
