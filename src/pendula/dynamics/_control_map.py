"""From settings that can be turned to the parameters that a family's model needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import CheckpointError, DataError, ShapeError
from .._numbers import numbers
from .._registry import register
from .._source import Source
from .._types import AnyArray
from ..train import load_tree, save_tree
from ._gauge import cast_like, floating


WIDE = 10.0  # prior sd of the affine mean's slopes, in spreads


@register("module")
class ControlMap(eqx.Module):
    r"""The eta of a system at given settings, with what is not known of it.

    $$ \eta_j(c) \sim N\!\big(b_j + \beta_j^\top \tilde c + k_j(\tilde c, \tilde C)\,
       \alpha_j,\; v_j(c)\big), \qquad
       k_j(a, b) = s_j^2 \exp\!\Big(-\tfrac12 \sum_i (a_i - b_i)^2 / l_{ji}^2\Big) $$

    An affine mean and a Gaussian process on top, one for each eta. There may be more
    settings than etas: level sets are then the settings that act alike.
    `fit_control_map` makes one.

    **Shapes and units:** settings c `"setting"` in `units`, eta `"eta"` without unit.
    **Attributes:** `at` `"system setting"` the scaled settings seen, `level` b `"eta"`
    and `slope` beta `"eta setting"`, `weights` alpha `"eta system"`, `lengths` l
    `"eta setting"`, `amplitude` s and `noise` `"eta"` in spreads; `whiten`
    `"eta system system"`: inverse Cholesky factors.
    **Source:** Rasmussen, Williams 2006, equations 2.25, 2.26, 5.1 and section 2.7.

    ```python
    >>> import numpy as np
    >>> from pendula.dynamics import fit_control_map
    >>> load = np.linspace(1.0, 2.0, 8)[:, None]
    >>> made = fit_control_map(load, np.sin(load), names=("load",), units=("N",))
    >>> mean, covariance = made.predict(np.array([1.37]))
    >>> bool(abs(mean[0] - np.sin(1.37)) < 0.01)
    True

    ```
    """

    source: ClassVar[Source] = Source("Rasmussen2006", "section 2.7")

    at: Float[AnyArray, "system setting"]
    level: Float[AnyArray, "eta"]
    slope: Float[AnyArray, "eta setting"]
    weights: Float[AnyArray, "eta system"]
    whiten: Float[AnyArray, "eta system system"]
    lengths: Float[AnyArray, "eta setting"]
    amplitude: Float[AnyArray, "eta"]
    noise: Float[AnyArray, "eta"]
    shift: Float[AnyArray, "setting"]
    width: Float[AnyArray, "setting"]
    mean: Float[AnyArray, "eta"]
    scale: Float[AnyArray, "eta"]
    log: tuple[bool, ...] = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    units: tuple[str, ...] = eqx.field(static=True)
    warnings: tuple[str, ...] = eqx.field(static=True)

    def predict(
        self, settings: Any
    ) -> tuple[Float[AnyArray, "eta"], Float[AnyArray, "eta eta"]]:
        """Mean and covariance (diagonal) of eta at one row of settings.

        Jittable, in the dtype of the settings, but variances want float64; what is no
        JAX array is computed in that, and NumPy comes back.

        **Raises:** `ShapeError` for another number of settings; `DataError` for a
        value that is not positive on a log scale.
        """
        if isinstance(settings, jax.Array):
            settings = floating(settings)
            self._check_size(settings)
            return _predict(cast_like(self, settings.dtype), settings)
        settings = numbers("settings", settings)
        self._check(settings)
        with jax.enable_x64(True):
            mean, covariance = _predict(self, jnp.asarray(settings))
            return np.asarray(mean), np.asarray(covariance)

    def __call__(self, settings: Any) -> Float[AnyArray, "eta"]:
        """The mean eta at one row of settings, for use as a model's context."""
        return self.predict(settings)[0]

    def summary(self) -> str:
        """What was fitted: the noise that is left, and the lengths of each setting."""
        count, etas = len(self.at), len(self.mean)
        lines = [
            f"Map from {', '.join(self.names)} to {etas} eta{'s' * (etas > 1)}, from "
            f"{count} systems."
        ]
        for k in range(etas):
            reach = ", ".join(
                f"{name} {length:.2g}"
                for name, length in zip(self.names, self.lengths[k], strict=True)
            )
            lines.append(
                f"eta {k + 1}: noise {100 * self.noise[k]:.2g} % of its spread; bends "
                f"over {reach} spreads of the settings."
            )
        return "\n".join([*lines, *(f"Warning: {text}" for text in self.warnings)])

    def _check_size(self, settings: Any) -> None:
        if settings.shape != (len(self.names),):
            raise ShapeError(
                f"settings have shape {settings.shape}; the map takes "
                f"({len(self.names)},): {', '.join(self.names)}."
            )

    def _check(self, settings: np.ndarray) -> None:
        self._check_size(settings)
        for name, value, is_log in zip(self.names, settings, self.log, strict=True):
            if not np.isfinite(value) or (is_log and value <= 0):
                raise DataError(
                    f"setting {name} is {value:g}; it must be "
                    f"{'positive' if is_log else 'finite'}."
                )

    def save(self, path: Path | str) -> None:
        """Write one .safetensors file; `load_control_map` reads it."""
        save_tree(Path(path), self, {"kind": "control map"})


def load_control_map(path: Path | str) -> ControlMap:
    """The map that `ControlMap.save` wrote.

    **Raises:** `CheckpointError` for a file that cannot be read or holds no map.

    ```python
    >>> import numpy as np
    >>> from pendula.dynamics import fit_control_map, load_control_map
    >>> x = np.linspace(1.0, 2.0, 6)[:, None]
    >>> fit_control_map(x, x).save("map.safetensors")
    >>> load_control_map("map.safetensors")(np.array([1.5])).round(3)
    array([1.5])

    ```
    """
    found, _ = load_tree(Path(path))
    if not isinstance(found, ControlMap):
        raise CheckpointError(
            f"{path} holds a {type(found).__name__}, not a ControlMap. Give a file "
            "that ControlMap.save wrote."
        )
    return found


@eqx.filter_jit
def _predict(made: ControlMap, settings: Array) -> tuple[Array, Array]:
    logs = np.array(made.log)
    c = jnp.where(logs, jnp.log(jnp.where(logs, settings, 1.0)), settings)
    c = (c - made.shift) / made.width
    off = c[None] - made.at
    plain = WIDE**2 * (1.0 + made.at @ c)

    def one(weights: Array, whiten: Array, length: Array, size: Array) -> tuple:
        bend = size**2 * jnp.exp(-0.5 * jnp.sum((off / length[None]) ** 2, axis=1))
        own = WIDE**2 * (1.0 + c @ c) + size**2
        rest = own - jnp.sum((whiten @ (plain + bend)) ** 2)
        return bend @ weights, jnp.maximum(rest, 0.0)

    bent, variance = jax.vmap(one)(
        made.weights, made.whiten, made.lengths, made.amplitude
    )
    mean = made.level + made.slope @ c + bent
    variance = (variance + made.noise**2) * made.scale**2
    return made.mean + made.scale * mean, jnp.diag(variance)
