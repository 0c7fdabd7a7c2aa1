"""The discrete Lyapunov equation with its derivative, and the prior made of it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import choice
from .._errors import ConfigError, DivergedError, ShapeError


METHODS = ("eig", "kron", "smith")
ILL = 1e8  # condition of the eigenvectors beyond which `eig` is not trusted
KRON_MOST = 20  # n^2 equations: 400 of them
_ROUNDS = 60  # of doubling: a radius of 1 - 1e-16 at the most


@contextlib.contextmanager
def _double() -> Iterator[None]:
    """P near the circle has a condition of 1 / (1 - r^2): it is found in float64 even
    inside a float32 program."""
    with jax.enable_x64(True):
        yield


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _solved(omega: Array, q: Array, method: str) -> Array:
    return _forward(omega, q, method)[0]


def _forward(omega: Array, q: Array, method: str) -> tuple[Array, tuple]:
    with _double():
        big, right = omega.astype(jnp.float64), q.astype(jnp.float64)
        p, parts = _stein(big, right, method)
    return p.astype(omega.dtype), (omega, p, parts)


def _backward(method: str, kept: tuple, g: Array) -> tuple[Array, Array]:
    """For <G, dP>, G symmetric: dL/dOmega = 2 P Omega Y, dL/dQ = Y with
    Y - Omega Y Omega^T = G."""
    omega, p, parts = kept
    with _double():
        big, right = omega.astype(jnp.float64), g.astype(jnp.float64)
        right = (right + right.T) / 2
        y = _adjoint(big, right, parts, method)
        slope = 2.0 * p @ big @ y
        # nothing is asked where P need not exist, and 0 times infinity is no number
        asked = jnp.any(right != 0.0)
        slope, y = (jnp.where(asked, x, 0.0) for x in (slope, y))
    return slope.astype(omega.dtype), y.astype(g.dtype)


_solved.defvjp(_forward, _backward)


def discrete_lyapunov(
    omega: Array,
    q: Array,
    method: str = "eig",
) -> Float[Array, "n n"]:
    r"""P of Omega^T P Omega - P = -Q, symmetric, with its own derivative.

    $$ \Omega = V \Lambda V^{-1}, \quad P = V^{-H} \left[ \frac{(V^H Q V)_{ij}}
       {1 - \bar\lambda_i \lambda_j} \right] V^{-1} $$

    and for a symmetric cotangent G: dL/dOmega = 2 P Omega Y, dL/dQ = Y, where
    Y - Omega Y Omega^T = G. Solved in float64 whatever comes in.
    **Shapes:** `omega`, `q` `"n n"`, `q` symmetric.
    **Arguments:**
    - `method`: `"eig"`: eigenvalues, any Omega that can be diagonalised, growing ones
      too; where its eigenvectors are nearly dependent (condition above 1e8) the next
      way is taken, above n = 20 the last. `"kron"`: n^2 equations, n <= 20, any Omega.
      `"smith"`: doubling by products of matrices alone, any n, **only for a spectral
      radius below 1**: otherwise it is not finite.

    **Returns:** P, in the dtype of `omega` (floating numbers for whole ones). There is
    none when the product of two eigenvalues is 1: it is then not finite or huge.
    **Raises:** `ConfigError` for another method or too large an n, `ShapeError`;
    outside of compiled programs `DivergedError` where there is a P, and none of these
    ways leads to it.
    **Source:** Smith 1968 for the doubling; the derivative follows from the equation.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.latent import discrete_lyapunov
    >>> p = discrete_lyapunov(jnp.diag(jnp.array([0.5, 3.0])), jnp.eye(2))
    >>> [round(float(x), 4) for x in jnp.diag(p)]  # 1 / (1 - omega^2)
    [1.3333, -0.125]

    ```
    """
    found = _checked(omega, q, method)
    if method == "eig":
        _check_found(found, omega)
    return found


def _checked(omega: Array, q: Array, method: str) -> Array:
    if omega.ndim != 2 or omega.shape[0] != omega.shape[1] or omega.shape != q.shape:
        raise ShapeError(
            f"Omega of shape {omega.shape} and Q of {q.shape}; expected two of (n, n)."
        )
    choice("method", method, METHODS)
    # the P of whole numbers is none of whole numbers
    is_whole = lambda x: jnp.issubdtype(x.dtype, jnp.integer)
    omega, q = (x.astype(float) if is_whole(x) else x for x in (omega, q))
    if method == "kron" and len(omega) > KRON_MOST:
        raise ConfigError(
            f'method "kron" with n = {len(omega)} has {len(omega) ** 2} equations; it '
            f'is for n up to {KRON_MOST}. Use "eig".'
        )
    return _solved(omega, q, method)


def _check_found(p: Array, omega: Array) -> None:
    """**Raises:** `DivergedError` for one that is not finite though there is one."""
    try:
        if np.isfinite(np.asarray(p)).all():
            return
        values = np.linalg.eigvals(np.asarray(omega, np.float64))
    except (jax.errors.TracerArrayConversionError, np.linalg.LinAlgError):
        return  # of a compiled program, or of numbers that are none
    nearest = np.abs(1.0 - values.conj()[:, None] * values[None, :]).min()
    if nearest > 1e-8:
        raise DivergedError(
            f"P of an Omega of n = {len(values)} was not found: it grows (spectral "
            f"radius {np.abs(values).max():.4g}), and its eigenvectors are nearly "
            f"dependent, which is for n up to {KRON_MOST}. Take "
            "scipy.linalg.solve_discrete_lyapunov(omega.T, q)."
        )


def _stein(omega: Array, q: Array, method: str) -> tuple[Array, tuple]:
    """P, and what the backward pass uses again."""
    if method == "kron":
        return _kron(omega.T, q), ()
    if method == "smith":
        return _smith(omega.T, q), ()
    values, vectors = jnp.linalg.eig(omega)
    inverse = jnp.linalg.inv(vectors)
    middle = vectors.conj().T @ q.astype(vectors.dtype) @ vectors
    middle = middle / (1.0 - values.conj()[:, None] * values[None, :])
    p = (inverse.conj().T @ middle @ inverse).real
    parts = (values, vectors, inverse)
    p = jax.lax.cond(_is_ill(parts), lambda: _without_basis(omega.T, q), lambda: p)
    return (p + p.T) / 2, parts


def _is_ill(parts: tuple) -> Array:
    """A bound of the condition of the eigenvectors, by Frobenius norms."""
    _, vectors, inverse = parts
    condition = jnp.linalg.norm(vectors) * jnp.linalg.norm(inverse)
    return ~(condition < ILL)


def _adjoint(omega: Array, g: Array, parts: tuple, method: str) -> Array:
    """Y of Y - Omega Y Omega^T = G."""
    if method == "kron":
        return _kron(omega, g)
    if method == "smith":
        return _smith(omega, g)
    values, vectors, inverse = parts
    middle = inverse @ g.astype(vectors.dtype) @ inverse.conj().T
    middle = middle / (1.0 - values[:, None] * values.conj()[None, :])
    y = (vectors @ middle @ vectors.conj().T).real
    y = jax.lax.cond(_is_ill(parts), lambda: _without_basis(omega, g), lambda: y)
    return (y + y.T) / 2


def _without_basis(a: Array, q: Array) -> Array:
    """X of X - A X A^T = Q where eigenvectors do not serve."""
    return _kron(a, q) if len(a) <= KRON_MOST else _smith(a, q)


def _kron(a: Array, q: Array) -> Array:
    """X of X - A X A^T = Q by its n^2 equations."""
    n = len(a)
    system = jnp.eye(n * n, dtype=a.dtype) - jnp.kron(a, a)
    x = jnp.linalg.solve(system, q.reshape(-1)).reshape(n, n)
    return (x + x.T) / 2


def _smith(a: Array, q: Array) -> Array:
    """X = sum_k A^k Q A^kT, the number of terms doubled in each round."""

    def more(carry: tuple[Array, Array, Array]) -> Array:
        power, _, k = carry
        return (jnp.linalg.norm(power) > 1e-18) & (k < _ROUNDS)

    def double(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        power, x, k = carry
        return power @ power, x + power @ x @ power.T, k + 1

    start = (a, q, jnp.zeros((), jnp.int32))
    power, x, _ = jax.lax.while_loop(more, double, start)
    settled = jnp.linalg.norm(power) <= 1e-18
    return jnp.where(settled, (x + x.T) / 2, jnp.nan)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _punished(p: Array, gamma: float) -> Array:
    return _punished_forward(p, gamma)[0]


def _punished_forward(p: Array, gamma: float) -> tuple[Array, tuple]:
    # without a P, on the way from stable to growing, rho is 0 with all its slopes
    p = jnp.where(jnp.isfinite(p).all(), p, jnp.eye(len(p), dtype=p.dtype))
    values, vectors = jnp.linalg.eigh(p)
    rho = jnp.where(values < 0, jnp.exp(-jnp.abs(values - 1.0) / gamma), 0.0)
    return jnp.sum(rho), (rho, vectors)


def _punished_backward(gamma: float, kept: tuple, g: Array) -> tuple[Array]:
    """Q f'(p) Q^T: no difference of eigenvalues is divided by."""
    rho, vectors = kept
    return (g * (vectors * (rho / gamma)[None, :]) @ vectors.T,)


_punished.defvjp(_punished_forward, _punished_backward)


def lyapunov_prior(
    omega: Float[Array, "n n"], gamma: float = 4.0, method: str = "eig"
) -> Float[Array, ""]:
    r"""The prior of physics-informed autoencoders on their latent map.

    $$ \Omega^T P \Omega - P = -I, \quad \sum_i \rho(p_i), \quad
       \rho(p) = e^{-|p - 1| / \gamma} \; (p < 0), \; 0 \; (p \ge 0) $$

    p_i are the eigenvalues of P; for a normal Omega p_i = 1 / (1 - |omega_i|^2).
    **Behaviour:** flat at the unit circle, with all derivatives: with gamma = 4 a
    modulus of 1.01 costs 3e-6, 1.03 0.013, 1.1 0.24. **It does not guarantee
    stability**: growth of three percent a step is hardly punished. `RotationDynamics`
    is stable by how it is written. Where there is no P (two eigenvalues whose product
    is 1, the identity among them) the prior and its slope are 0.
    **Arguments:** `gamma` > 0; `method` of `discrete_lyapunov`, not `"smith"`.
    **Raises:** `ConfigError`.
    **Source:** Erichson, Muehlebach, Mahoney 2019, section 3.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.latent import lyapunov_prior
    >>> [round(float(lyapunov_prior(w * jnp.eye(1))), 3) for w in (0.9, 1.05, 1.3)]
    [0.0, 0.068, 0.542]

    ```
    """
    if not (np.isfinite(gamma) and gamma > 0):
        raise ConfigError(f"gamma is {gamma}; it must be a finite number above 0.")
    if method == "smith":
        raise ConfigError(
            'method "smith" needs a spectral radius below 1, and the prior is about '
            'those above. Use "eig".'
        )
    return _punished(
        _checked(omega, jnp.eye(len(omega), dtype=omega.dtype), method), float(gamma)
    )
