"""Linear maps that move a latent state by one step, and what each promises."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from .._checks import whole
from .._errors import ConfigError
from .._registry import register
from .._source import Source


_SLOW = 8.0  # a_i = -8 at the start: a radius of 0.99966


class AbstractLinearMap(eqx.Module):
    r"""z_{t+1} = Omega z_t, z a column.

    `matrix()` is Omega; `powers(z, steps)` are Omega z, Omega^2 z, ...
    """

    @property
    @abstractmethod
    def size(self) -> int:
        """Numbers of a latent state."""

    @abstractmethod
    def matrix(self) -> Float[Array, "n n"]:
        """Omega."""

    @abstractmethod
    def powers(self, z: Float[Array, " n"], steps: int) -> Float[Array, "step n"]:
        """The states after 1, 2, ... `steps` steps."""


def spectral_radius(dynamics: AbstractLinearMap) -> float:
    """The largest modulus of an eigenvalue of Omega; of rotations the largest r, which
    is never above 1, not by rounding either."""
    if isinstance(dynamics, RotationDynamics):
        return float(np.asarray(dynamics.polar()[0]).max())
    return float(np.abs(eigenvalues(dynamics)[0]))


def eigenvalues(dynamics: AbstractLinearMap) -> np.ndarray:
    """Those of Omega, complex, by falling modulus; of rotations they are read off."""
    if isinstance(dynamics, RotationDynamics):
        radius, angle = dynamics.polar()
        radius, angle = np.asarray(radius, float), np.asarray(angle, float)
        pair = (radius[: len(angle)] * np.exp(1j * angle)).ravel()
        found = np.concatenate([pair, pair.conj(), radius[len(angle) :]])
    else:
        found = np.linalg.eigvals(np.asarray(dynamics.matrix(), np.float64))
    return found[np.argsort(-np.abs(found), kind="stable")].astype(complex)


def _scanned(
    omega: Float[Array, "n n"], z: Float[Array, " n"], steps: int
) -> Float[Array, "step n"]:
    def one(state: Array, _: None) -> tuple[Array, Array]:
        after = omega @ state
        return after, after

    return jax.lax.scan(one, z, None, length=steps)[1]


def _orthogonal(size: int, key: PRNGKeyArray) -> Float[Array, "n n"]:
    """The orthogonal factor of a Gaussian matrix."""
    return jnp.linalg.qr(jax.random.normal(key, (size, size)))[0]


def _check_size(size: int) -> None:
    whole(1, "latent state", size=size)


@register("module")
class DenseDynamics(AbstractLinearMap):
    r"""Omega with all of its entries free: it promises nothing, and may grow.

    **Arguments:** `size`: n. `scale`: Omega starts as that times a random orthogonal
    matrix, so that all moduli are `scale`.
    **Source:** Azencot, Erichson, Lin, Mahoney 2020 (their start has 0.99).

    ```python
    >>> import jax
    >>> from pendula.latent import DenseDynamics, eigenvalues
    >>> omega = DenseDynamics(4, key=jax.random.key(0))
    >>> eigenvalues(omega).shape
    (4,)

    ```
    """

    source: ClassVar[Source] = Source("Azencot2020", "section 4")

    omega: Float[Array, "n n"]

    def __init__(self, size: int, *, scale: float = 0.99, key: PRNGKeyArray) -> None:
        _check_size(size)
        self.omega = scale * _orthogonal(size, key)

    @property
    def size(self) -> int:
        """Numbers of a latent state."""
        return len(self.omega)

    def matrix(self) -> Float[Array, "n n"]:
        """Omega."""
        return self.omega

    def powers(self, z: Float[Array, " n"], steps: int) -> Float[Array, "step n"]:
        """The states after 1, 2, ... `steps` steps."""
        return _scanned(self.omega, z, steps)


@register("module")
class RotationDynamics(AbstractLinearMap):
    r"""Rotations that never grow: stable by how they are written, the default.

    $$ \Omega = \mathrm{diag}(r_i R(\phi_i)), \quad r_i = e^{-\mathrm{softplus}(a_i)}
       \le 1 $$

    with a last real r in (0, 1] when n is odd. Nothing is lost for an Omega that can be
    diagonalised with moduli of at most 1: the change of basis is part of encoder and
    decoder. A power costs n numbers, r^k and k phi.
    **Arguments:** `size`: n. `angles`: phi_i at the start [radian a step], n // 2 of
    them; default evenly over (0, pi/2), those of a DMD are a better guess.
    **Behaviour:** a_i = -8 at the start: r = 0.99966. phi is known up to multiples of
    2 pi: a frequency above half of the sampling's appears as a lower one. Training
    moves an angle little: of a motion that is seen fewer than four times a period give
    `angles`, or slower rotations are found, and forecasts fail.
    **Source:** Erichson, Muehlebach, Mahoney 2019 for the aim; the map is ours.

    ```python
    >>> import jax, numpy as np
    >>> from pendula.latent import RotationDynamics, eigenvalues
    >>> omega = RotationDynamics(5)
    >>> bool(np.abs(eigenvalues(omega)).max() <= 1.0)
    True

    ```
    """

    source: ClassVar[Source] = Source("Erichson2019", "section 3")

    a: Float[Array, " radius"]
    phi: Float[Array, " pair"]

    def __init__(self, size: int, *, angles: ArrayLike | None = None) -> None:
        _check_size(size)
        pairs = size // 2
        if angles is None:
            angles = (np.arange(pairs) + 0.5) / max(pairs, 1) * (math.pi / 2)
        angles = np.asarray(angles)
        if angles.shape != (pairs,):
            raise ConfigError(
                f"angles of shape {angles.shape} for {size} latent numbers; expected "
                f"({pairs},), one a pair."
            )
        if angles.dtype.kind == "c":
            raise ConfigError(
                "angles are complex numbers; expected radians. Of eigenvalues take "
                "numpy.angle(...)."
            )
        if not np.isfinite(angles).all():
            raise ConfigError(f"angles are {angles.tolist()}; they must be finite.")
        self.a = jnp.full((size - pairs,), -_SLOW)
        self.phi = jnp.asarray(angles, self.a.dtype)

    @property
    def size(self) -> int:
        """Numbers of a latent state."""
        return len(self.a) + len(self.phi)

    def polar(self) -> tuple[Float[Array, " radius"], Float[Array, " pair"]]:
        """Radii (of the pairs, then that of an odd n) and angles."""
        return jnp.exp(-jax.nn.softplus(self.a)), self.phi

    def matrix(self) -> Float[Array, "n n"]:
        """Omega."""
        return jax.vmap(lambda z: self.powers(z, 1)[0])(jnp.eye(self.size)).T

    def powers(self, z: Float[Array, " n"], steps: int) -> Float[Array, "step n"]:
        """The states after 1, 2, ... `steps` steps, each by its own angle."""
        pairs = len(self.phi)
        k = jnp.arange(1, steps + 1, dtype=z.dtype)[:, None]
        shrink = jnp.exp(-k * jax.nn.softplus(self.a)[None])
        cos, sin = jnp.cos(k * self.phi[None]), jnp.sin(k * self.phi[None])
        x, y = z[None, :pairs], z[None, pairs : 2 * pairs]
        some = shrink[:, :pairs]
        turned = [some * (cos * x - sin * y), some * (sin * x + cos * y)]
        rest = shrink[:, pairs:] * z[None, 2 * pairs :]
        return jnp.concatenate([*turned, rest], axis=1)


@register("module")
class OrthogonalDynamics(AbstractLinearMap):
    r"""An orthogonal Omega, by Cayley's map: no growth and no decay.

    $$ \Omega = (I + A)^{-1} (I - A), \quad A = -A^T $$

    **Arguments:** `size`: n; `scale`: of the random entries of A at the start.
    **Source:** Helfrich, Willmott, Ye 2018.

    ```python
    >>> import jax, numpy as np
    >>> from pendula.latent import OrthogonalDynamics
    >>> omega = np.asarray(OrthogonalDynamics(3, key=jax.random.key(0)).matrix())
    >>> bool(np.abs(omega.T @ omega - np.eye(3)).max() < 1e-5)
    True

    ```
    """

    source: ClassVar[Source] = Source("Helfrich2018", "equation 3")

    skew: Float[Array, "n n"]

    def __init__(self, size: int, *, scale: float = 0.5, key: PRNGKeyArray) -> None:
        _check_size(size)
        self.skew = scale * jax.random.normal(key, (size, size))

    @property
    def size(self) -> int:
        """Numbers of a latent state."""
        return len(self.skew)

    def matrix(self) -> Float[Array, "n n"]:
        """Omega."""
        a = jnp.triu(self.skew, 1)
        a = a - a.T
        eye = jnp.eye(len(a), dtype=a.dtype)
        return jnp.linalg.solve(eye + a, eye - a)

    def powers(self, z: Float[Array, " n"], steps: int) -> Float[Array, "step n"]:
        """The states after 1, 2, ... `steps` steps."""
        return _scanned(self.matrix(), z, steps)


@register("module")
class SpectralNormDynamics(AbstractLinearMap):
    r"""A free matrix whose largest singular value is held at 1: no step stretches.

    $$ \Omega = W / \max(1, \sigma_{max}(W)) $$

    More than stability asks for: transient growth is excluded, too.
    **Arguments:** `size`: n; `scale`: W starts as that times an orthogonal matrix.
    **Source:** Miyato et al. 2018.

    ```python
    >>> import jax, numpy as np
    >>> from pendula.latent import SpectralNormDynamics
    >>> omega = SpectralNormDynamics(3, scale=2.0, key=jax.random.key(0)).matrix()
    >>> round(float(np.linalg.norm(omega, 2)), 5)
    1.0

    ```
    """

    source: ClassVar[Source] = Source("Miyato2018", "equation 8")

    weight: Float[Array, "n n"]

    def __init__(self, size: int, *, scale: float = 0.99, key: PRNGKeyArray) -> None:
        _check_size(size)
        self.weight = scale * _orthogonal(size, key)

    @property
    def size(self) -> int:
        """Numbers of a latent state."""
        return len(self.weight)

    def matrix(self) -> Float[Array, "n n"]:
        """Omega."""
        largest = jnp.linalg.norm(self.weight, ord=2)
        return self.weight / jnp.maximum(largest, 1.0)

    def powers(self, z: Float[Array, " n"], steps: int) -> Float[Array, "step n"]:
        """The states after 1, 2, ... `steps` steps."""
        return _scanned(self.matrix(), z, steps)


def linear_map(kind: str, size: int, *, key: PRNGKeyArray) -> AbstractLinearMap:
    """A map by its name: `"rotation"`, `"dense"`, `"orthogonal"`, `"spectral"`.

    **Raises:** `ConfigError` for another one.
    """
    if kind == "rotation":
        return RotationDynamics(size)
    kinds = {
        "dense": DenseDynamics,
        "orthogonal": OrthogonalDynamics,
        "spectral": SpectralNormDynamics,
    }
    if kind not in kinds:
        raise ConfigError(
            f'dynamics is "{kind}"; expected one of rotation, {", ".join(kinds)}.'
        )
    return kinds[kind](size, key=key)
