"""Exact steps of linear equations: matrix exponentials at many times."""

from __future__ import annotations

import math

import numpy as np


TERMS = 19  # 1/19! is below the rounding error for arguments of norm 1


def exponentials(matrix: np.ndarray, times: np.ndarray) -> np.ndarray:
    r"""exp(M t) of one matrix at many times, `"time n n"`.

    Scaling and squaring with a Taylor polynomial, whose powers of M all times share:
    one matrix product for all of them. SciPy's `expm` takes each matrix by itself;
    5000 steps of an irregular grid cost it three seconds, and this some
    milliseconds (measured, n = 7).

    **Shapes:** `matrix` `"n n"`, `times` any shape.
    **Behaviour:** relative error about 1e-14 times the norm of M t; overflow gives
    infinities.
    """
    times = np.asarray(times, np.float64)
    n, longest = len(matrix), float(np.abs(times).max(initial=0.0))
    norm = float(np.abs(matrix).sum(axis=0).max(initial=0.0)) * longest
    if norm == 0 or not math.isfinite(norm):
        blank = np.eye(n) if norm == 0 else np.full((n, n), np.nan)
        return np.broadcast_to(blank, (*times.shape, n, n)).copy()
    halvings = max(0, math.ceil(math.log2(norm)))
    unit = matrix * (longest / 2.0**halvings)
    powers = [np.eye(n)]
    for k in range(1, TERMS):
        powers.append(powers[-1] @ unit / k)
    share = (times / longest)[..., None] ** np.arange(TERMS)
    out = (share @ np.reshape(powers, (TERMS, n * n))).reshape(*times.shape, n, n)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(halvings):
            out = out @ out
    return out


def step_maps(
    a: np.ndarray,
    b: np.ndarray,
    c: np.ndarray,
    dts: np.ndarray,
    path: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""The exact step of $\dot z = A z + B u(t) + c$ over each interval.

    $$ z(t + h) = F z(t) + g, \qquad u(t + s) = p_0 + p_1 s + p_2 s^2 + p_3 s^3 $$

    by the exponential of one matrix that holds the input's derivatives as further
    states.

    **Shapes:** `a` `"n n"`, `b` `"n ctrl"`, `c` `"n"`, `dts` `"*step"`, `path`
    `"*step 4 ctrl"` as from `pendula.data.input_path`, or None.
    **Returns:** F `"*step n n"` and g `"*step n"`.
    **Source:** Van Loan 1978, IEEE Trans. Automat. Contr. 23:395, theorem 1.
    """
    n, ctrl = b.shape
    size = n + 4 * ctrl + 1
    big = np.zeros((size, size))
    big[:n, :n], big[:n, n : n + ctrl], big[:n, -1] = a, b, c
    for k in range(n, n + 3 * ctrl):
        big[k, k + ctrl] = 1.0
    steps = exponentials(big, dts)
    f, g = steps[..., :n, :n], steps[..., :n, -1].copy()
    if path is not None:
        for k in range(4):  # the k-th derivative at the start is k! p_k
            columns = steps[..., :n, n + k * ctrl : n + (k + 1) * ctrl]
            value = math.factorial(k) * path[..., k, :]
            g += np.einsum("...nc,...c->...n", columns, value)
    return f, g
