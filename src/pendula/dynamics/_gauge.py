"""The neural gauge: from the parameters that a model found to those of the physics."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._errors import CheckpointError, ShapeError
from .._numbers import numbers
from .._precision import cast
from .._registry import register
from .._source import Source
from .._types import AnyArray
from ..nn import MLP
from ..solve import rollout_steps
from ..train import load_tree, save_tree
from ._gauge_intervals import Measurement, left_out, measurement


@register("module")
class GaugeFlow(eqx.Module):
    r"""An invertible map: an affine layer, then the flow of a small network.

    $$ z(0) = A\,(\eta - m)/s + b, \qquad \dot z = g_\xi(z), \qquad
       \eta \mapsto z(1) $$

    Its inverse is the same flow run backwards, then the affine layer solved for eta.

    **Shapes:** `shift` m, `scale` s, `offset` b `"eta"`, `matrix` A `"eta eta"`; all
    may carry leading axes, one flow each. `net` g or None; `steps` of Runge-Kutta.
    **Source:** Chen, Rubanova, Bettencourt, Duvenaud 2018, arXiv:1806.07366, section 4.
    """

    source: ClassVar[Source] = Source("Chen2018", "section 4")

    shift: Float[AnyArray, "*fold eta"]
    scale: Float[AnyArray, "*fold eta"]
    matrix: Float[AnyArray, "*fold eta eta"]
    offset: Float[AnyArray, "*fold eta"]
    net: MLP | None
    steps: int = eqx.field(static=True)

    def forward(self, eta: Float[Array, "eta"]) -> Float[Array, "eta"]:
        """z(1) of eta."""
        start = self.matrix @ ((eta - self.shift) / self.scale) + self.offset
        return start if self.net is None else flowed(self.net, start, self.steps)

    def backward(self, z: Float[Array, "eta"]) -> Float[Array, "eta"]:
        """The eta whose z(1) is given."""
        if self.net is not None:
            z = flowed(self.net, z, self.steps, sign=-1.0)
        solved = jnp.linalg.solve(self.matrix, z - self.offset)
        return solved * self.scale + self.shift


def flowed(
    net: MLP, z: Float[Array, "eta"], steps: int, sign: float = 1.0
) -> Float[Array, "eta"]:
    """z after one unit of time along the network's field, or against it."""

    def field(t: Any, y: Array, u: Any, context: Any) -> Array:
        return sign * net(y)

    dts = jnp.full(steps, 1.0 / steps, z.dtype)
    return rollout_steps(field, z, jnp.zeros((), z.dtype), dts).ys[-1]


@register("module")
class Gauge(eqx.Module):
    r"""What the parameters of a family's model are in physical units, and back.

    $$ \phi = \exp\!\big(\mu + \sigma \odot z(1)_{1..d_\phi}\big), \qquad
       \dot z = g_\xi(z), \quad z(0) = A\,\tilde\eta + b $$

    with the exponential for parameters on a log scale only. `fit_gauge` makes one.
    Where there are more etas than parameters, the further entries of z(1) are 0 on
    the calibrated systems, and `inverse` sets them so.

    **Shapes and units:** eta `"eta"` without unit, phi `"param"` in `units`. Both
    directions are jittable and work in the dtype of what comes in; batches by
    `jax.vmap`.
    **Attributes:** `flow`, and `members` `"fold"`: the flows fitted without one system
    (or one group of them), `fold_of` `"system"` which; `etas`, `labels`: the
    calibrated systems; `errors` `"system param"`: of the left-out systems, in
    standard deviations of the (log) labels; `spread` `"param"`: the variance of these
    that the etas' covariances do not explain; `scores`: of the conformal intervals;
    `affine_error`, `neural_error` `"param"`: leave-one-out root mean squares;
    `warnings`: what deserves a look.
    **Source:** Wang 2023, thesis, section 4.7; affine start, penalties, leave-one-out
    choice and intervals are additions.

    ```python
    >>> import numpy as np
    >>> from pendula.dynamics import fit_gauge
    >>> length = np.array([1.0, 3.0, 5.0, 7.0, 9.0])
    >>> etas = 0.4 * np.log(length)[:, None] - 1.0
    >>> gauge = fit_gauge(etas, length[:, None], names=("length",), units=("m",))
    >>> print(gauge(0.4 * np.log([4.0]) - 1.0).round(3), gauge.inverse([1.0]).round(3))
    [4.] [-1.]

    ```
    """

    source: ClassVar[Source] = Source("Wang2023", "section 4.7")

    flow: GaugeFlow
    members: GaugeFlow
    fold_of: Int[AnyArray, "system"]
    mean: Float[AnyArray, "param"]
    scale: Float[AnyArray, "param"]
    etas: Float[AnyArray, "system eta"]
    labels: Float[AnyArray, "system param"]
    errors: Float[AnyArray, "system param"]
    spread: Float[AnyArray, "param"]
    scores: Float[AnyArray, "system param"]
    affine_error: Float[AnyArray, "param"]
    neural_error: Float[AnyArray, "param"] | None
    log: tuple[bool, ...] = eqx.field(static=True)
    fold: bool = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    units: tuple[str, ...] = eqx.field(static=True)
    warnings: tuple[str, ...] = eqx.field(static=True)

    @property
    def num_systems(self) -> int:
        """Number of calibrated systems."""
        return len(self.etas)

    @property
    def neural(self) -> bool:
        """Whether the neural part was kept."""
        return self.flow.net is not None

    def __call__(self, eta: Any) -> Float[AnyArray, "param"]:
        """The physical parameters of one system; NumPy comes back for NumPy."""
        return _called(_to_physical, self, eta)

    def inverse(self, phi: Any) -> Float[AnyArray, "eta"]:
        """The eta of a system with the given physical parameters, with `fold` the one
        without signs. Not finite for a value <= 0 on a log scale."""
        return _called(_to_eta, self, phi)

    def scaled(self, eta: Float[Array, "eta"]) -> Float[Array, "param"]:
        """The (log) parameters in standard deviations of the calibration labels."""
        eta = jnp.abs(eta) if self.fold else eta
        return self.flow.forward(eta)[: len(self.names)]

    def physical(self, scaled: Any) -> Any:
        """Parameters in their units, from scaled ones `"... param"`, NumPy or JAX."""
        np_ = jnp if isinstance(scaled, jax.Array) else np
        value = self.mean + self.scale * scaled
        logs = np.array(self.log)
        return np_.where(logs, np_.exp(np_.where(logs, value, 0.0)), value)

    def measure(
        self,
        eta: Any,
        covariance: Any = None,
        *,
        interval: str = "laplace",
        level: float = 0.9,
    ) -> Measurement:
        r"""The physical parameters of a system with an interval.

        $$ \Sigma_\phi = J \Sigma_\eta J^\top + \mathrm{diag}(\sigma^2_{cal}) $$

        J is the gauge's Jacobian, $\sigma_{cal}$ the leave-one-out error that is left;
        all this for the logarithm of a parameter on a log scale, whose interval is
        then not symmetric and always positive.

        **Arguments:**
        - `eta` `"eta"`; `covariance` `"eta eta"` of it, None: known exactly. A
          direction that is not identified has an infinite (or very large) variance.
        - `interval`: `"laplace"` (Student's t, its degrees of freedom after
          Welch and Satterthwaite: the calibration's variance rests on few systems),
          or `"conformal"`: jackknife+ (CV+ with more than 30 systems), which assumes
          only that the system is exchangeable with the calibrated ones: it covers
          with a probability of at least 2 level - 1, and usually about level.
        - `level`: 0 < level < 1.

        **Returns:** `Measurement`; infinite ends where eta leaves a parameter open.
        **Raises:** `ConfigError` for a setting, or for a conformal interval with
        fewer than 1 / (1 - level) - 1 systems (9 for 90 %); `DataError` for an eta
        that is not finite, a matrix that is no covariance; `ShapeError`.
        **Source:** MacKay 1992 (Laplace); Barber, Candes, Ramdas, Tibshirani 2021,
        equation 1.7 and section 3 (jackknife+, CV+), here of scaled residuals.
        """
        return measurement(self, eta, covariance, interval, level)

    def left_out(self, level: float = 0.9) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The calibrated systems as gauges read them that did not see them: values,
        low and high ends of the Laplace interval, each `"system param"` in `units`;
        the etas count as known."""
        return left_out(self, level)

    def summary(self) -> str:
        """What was fitted, how well it predicts systems it has not seen, and what
        deserves a look."""
        count = self.etas.shape[1]
        lines = [
            f"Gauge from {count} eta{'s' * (count > 1)} to {', '.join(self.names)}, "
            f"calibrated on {self.num_systems} systems.",
            f"Error on systems left out, affine map: {self._told(self.affine_error)}.",
        ]
        if self.neural_error is None:
            lines.append("A neural part was not tried: the affine map is enough.")
        else:
            verdict = "kept" if self.neural else "dropped: it predicts no better"
            lines.append(
                f"With a neural part: {self._told(self.neural_error)}; {verdict}."
            )
        return "\n".join([*lines, *(f"Warning: {text}" for text in self.warnings)])

    def _told(self, error: Any) -> str:
        """Root mean square errors in words, relative ones on a log scale."""
        sizes = np.asarray(error) * self.scale
        return ", ".join(
            f"{name} {100 * np.expm1(size):.2g} %"
            if log
            else f"{name} {size:.2g} {unit}".rstrip()
            for name, unit, log, size in zip(
                self.names, self.units, self.log, sizes, strict=True
            )
        )

    def save(self, path: Path | str) -> None:
        """Write one .safetensors file; `load_gauge` reads it."""
        save_tree(Path(path), cast(self, self.etas.dtype), {"kind": "gauge"})


def load_gauge(path: Path | str) -> Gauge:
    """The gauge that `Gauge.save` wrote.

    **Raises:** `CheckpointError` for a file that cannot be read or holds no gauge.

    ```python
    >>> import numpy as np
    >>> from pendula.dynamics import fit_gauge, load_gauge
    >>> x = np.linspace(1.0, 2.0, 5)[:, None]
    >>> fit_gauge(x, x, log=False).save("gauge.safetensors")
    >>> load_gauge("gauge.safetensors")(np.array([1.3])).round(4)
    array([1.3])

    ```
    """
    found, _ = load_tree(Path(path))
    if not isinstance(found, Gauge):
        raise CheckpointError(
            f"{path} holds a {type(found).__name__}, not a Gauge. Give a file that "
            "Gauge.save wrote."
        )
    return found


def _called(function: Any, gauge: Gauge, x: Any) -> Any:
    """One direction in the dtype of what came in: what is no JAX array is computed
    in float64 and comes back as NumPy."""
    if isinstance(x, jax.Array):
        x = floating(x)
        return function(cast_like(gauge, x.dtype), x)
    x = numbers("what the gauge is given", x)
    with jax.enable_x64(True):
        return np.asarray(function(gauge, jnp.asarray(x)))


def floating(x: jax.Array) -> jax.Array:
    """Whole numbers as the floating ones of the surrounding scope."""
    return x if eqx.is_inexact_array(x) else x.astype(jnp.result_type(float))


def cast_like(tree: Any, dtype: Any) -> Any:
    """Floating arrays of a tree in `dtype`, also inside `jit`."""
    change = lambda x: jnp.asarray(x, dtype) if eqx.is_inexact_array_like(x) else x
    arrays, rest = eqx.partition(tree, eqx.is_array_like)
    return eqx.combine(jax.tree.map(change, arrays), rest)


@eqx.filter_jit
def _to_physical(gauge: Gauge, eta: Any) -> Any:
    _check_size("eta", eta, gauge.etas.shape[1])
    return gauge.physical(gauge.scaled(eta))


@eqx.filter_jit
def _to_eta(gauge: Gauge, phi: Any) -> Any:
    _check_size("phi", phi, len(gauge.names))
    logs = np.array(gauge.log)
    value = jnp.where(logs, jnp.log(jnp.where(logs, phi, 1.0)), phi)
    z = jnp.zeros(gauge.etas.shape[1], phi.dtype)
    z = z.at[: len(phi)].set((value - gauge.mean) / gauge.scale)
    return gauge.flow.backward(z)


def _check_size(name: str, x: Any, size: int) -> None:
    if jnp.shape(x) != (size,):
        raise ShapeError(
            f"{name} has shape {jnp.shape(x)}; the gauge takes ({size},). Use jax.vmap "
            "for several systems."
        )
