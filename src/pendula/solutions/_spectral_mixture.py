"""Covariances with learned spectra, and the functions that they span on a grid."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import ConfigError


_TINY = 1e-4  # of a length scale: rounds the tip of |d|, which has no slope there
_JITTER = 1e-10  # of the variance


class SpectralMixture(eqx.Module):
    r"""A covariance along one axis.

    $$ k(d) = \sum_q w_q\, h(d / \ell_q) \cos(2 \pi f_q d), \qquad
       h(r) = e^{-r^2/2} \text{ or } (1 + \sqrt5\,|r| + 5 r^2/3)\,e^{-\sqrt5\,|r|} $$

    A Gaussian, or Student's t with five degrees of freedom, around each frequency of
    the spectrum. On a circle frequencies are whole and h is 1.

    **Shapes and units**: differences `"..."` in units of the axis, to `"..."`.
    **Source:** Wilson, Adams 2013; Fang, Cooley et al. 2023, arXiv:2311.04465.
    """

    log_weight: Float[Array, "component"]
    frequency: Float[Array, "component"]
    log_scale: Float[Array, "component"]
    spectrum: str = eqx.field(static=True)

    def __call__(self, d: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """The covariance at a difference."""
        wide = jnp.expand_dims(d, -1)
        along = lambda x: jnp.reshape(x, (1,) * d.ndim + (-1,))
        frequency, shape = along(self.frequency), jnp.ones(())
        if self.spectrum == "circle":
            frequency = jax.lax.stop_gradient(frequency)
        else:
            r = wide / along(jnp.exp(self.log_scale))
            if self.spectrum == "gauss":
                shape = jnp.exp(-0.5 * r * r)
            else:
                s = jnp.sqrt(5.0 * (r * r + _TINY**2))
                shape = (1.0 + s + s * s / 3.0) * jnp.exp(-s)
        wave = jnp.cos(2.0 * np.pi * frequency * wide)
        return jnp.sum(along(jnp.exp(self.log_weight)) * shape * wave, axis=-1)

    def slope(self, d: Float[Array, "*any"], order: int) -> Float[Array, "*any"]:
        """A derivative in d.

        **Raises:** `ConfigError` above order 2 for Student's spectrum, whose kernel
        is not smooth enough.
        """
        if self.spectrum == "student" and order > 2:
            raise ConfigError(
                f'gp: an equation of order {order} along an axis needs spectrum="gauss"'
                "; Student's has too few derivatives."
            )
        function: Callable[[Array], Array] = self
        for _ in range(order):
            lower = function
            function = lambda x, f=lower: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]
        return function(d)


def mixture(count: int, nodes: int, spectrum: str, highest: float) -> SpectralMixture:
    """Components at even frequencies from 0 on.

    **Arguments:** `count`: of components; `nodes`: on the axis; `spectrum`: "gauss",
    "student" or "circle" (whole frequencies from 0 on); `highest`: in waves on the
    axis.
    """
    if spectrum == "circle":
        most = min(count, (nodes + 1) // 2)
        frequency = jnp.arange(most, dtype=float)
    else:
        most = count
        frequency = jnp.linspace(0.0, highest, most)
    # neighbours overlap
    gap = frequency[1] - frequency[0] if most > 1 else jnp.ones(())
    scale = jnp.minimum(0.5 / gap, 0.3)
    return SpectralMixture(
        jnp.full(most, -np.log(most)),
        frequency,
        jnp.full(most, jnp.log(scale)),
        spectrum,
    )


def even_nodes(count: int, spectrum: str) -> Float[np.ndarray, "node"]:
    """Even ones in [0, 1], both ends, or one of them on a circle."""
    return np.linspace(0.0, 1.0, count, endpoint=spectrum != "circle")


def on_nodes(
    kernel: SpectralMixture, nodes: Float[np.ndarray, "node"], order: int
) -> Float[Array, "node node"]:
    """Covariances, or derivatives in the first, between even nodes: one value for each
    difference."""
    n = len(nodes)
    step = nodes[1] - nodes[0]
    every = kernel.slope(jnp.asarray(step * np.arange(-(n - 1), n)), order)
    return every[np.subtract.outer(np.arange(n), np.arange(n)) + n - 1]


def to_points(
    kernel: SpectralMixture,
    points: Float[Array, "point"],
    nodes: Float[np.ndarray, "node"],
    order: int,
) -> Float[Array, "point node"]:
    """The same between points and nodes."""
    return kernel.slope(points[:, None] - jnp.asarray(nodes)[None, :], order)


def root(
    kernel: SpectralMixture, nodes: Float[np.ndarray, "node"]
) -> Float[Array, "node node"]:
    """Cholesky's factor of the covariances."""
    variance = jnp.sum(jnp.exp(kernel.log_weight))
    more = _JITTER * variance * jnp.eye(len(nodes))
    return jnp.linalg.cholesky(on_nodes(kernel, nodes, 0) + more)


class KernelExpansion(eqx.Module):
    r"""A trial function on a grid.

    $$ u(x) = \sum_{i,j,\dots} \alpha_{ij\dots}\, k_1(x_1 - x_{1,i})\,
       k_2(x_2 - x_{2,j}) \cdots $$

    **Shapes and units:** points `"point coord"`, in units of the axes, the last one s
    in [0, 1] where there is time; returns `"point field"`.
    """

    kernels: tuple[SpectralMixture, ...]
    nodes: tuple[Array, ...]
    lo: Float[Array, "coord"]
    length: Float[Array, "coord"]
    weights: Array
    """`"field node ..."`."""

    def __call__(
        self, points: Float[Array, "point coord"]
    ) -> Float[Array, "point field"]:
        """Values of all fields."""
        unit = (points - self.lo[None, :]) / self.length[None, :]
        out = self.weights[None]
        for a, (kernel, nodes) in enumerate(zip(self.kernels, self.nodes, strict=True)):
            near = kernel(unit[:, a, None] - nodes[None, :])
            out = jnp.einsum(
                "pn,pfn...->pf...",
                near,
                jnp.broadcast_to(out, (len(points), *out.shape[1:])),
            )
        return out
