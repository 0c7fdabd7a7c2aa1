"""How far the forecasts of a linear latent map can go: bounds that the user sees."""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
import numpy as np

from .._errors import ConfigError
from .._precision import precision
from ..nn import Layers
from ._fit_latent import FittedLatent
from ._linear_maps import (
    AbstractLinearMap,
    RotationDynamics,
    eigenvalues,
    spectral_radius,
)
from ._models import AbstractLatentModel, LatentLinear
from ._stein import discrete_lyapunov


# slopes above 1, each rounded up; those of all other activations are at most 1
_STEEPEST: dict[str | None, float] = {"silu": 1.1, "gelu": 1.13, "mish": 1.09}


@dataclasses.dataclass(frozen=True)
class StabilityCertificate:
    r"""What holds for all times.

    **Fields:**
    - `radius`: the largest modulus of an eigenvalue of Omega, at most 1.
    - `lyapunov`: P of Omega^T P Omega - P = -I, `"n n"`, and `smallest`, its smallest
      eigenvalue; of rotations p_i = 1 / (1 - r_i^2). None where the radius is 1 up to
      rounding, when there is no P.
    - `transient`: a bound of max_k ||Omega^k||, sqrt(cond P); 1 for rotations.
    - `decoder`: a Lipschitz constant of the decoder, the product of the spectral norms
      of its layers and of the steepest slopes of its activations.
    - `is_marginal`: the map keeps lengths, or turns with a radius of 1, up to rounding:
      something never decays, as on a limit cycle.
    """

    radius: float
    lyapunov: np.ndarray | None
    smallest: float | None
    transient: float
    decoder: float
    is_marginal: bool

    def bound(self, size: float) -> float:
        r"""The largest distance of a forecast from the decoder's value at 0, in units
        of its coordinates, when ||Psi(y_0)|| is `size`: decoder * transient * size."""
        return self.decoder * self.transient * size

    def __str__(self) -> str:
        kind = "marginally stable" if self.is_marginal else "stable"
        return (
            f"{kind}: spectral radius {self.radius:.6f}, latent states grow by at most "
            f"{self.transient:.3g}, the decoder stretches by at most "
            f"{self.decoder:.3g}."
        )


def certify(model: AbstractLatentModel | FittedLatent) -> StabilityCertificate:
    r"""Bound the forecasts of a model, or of a fitted one, for all times.

    $$ \|\Omega^k\|_2 \le \sqrt{\mathrm{cond}(P)}, \quad
       \|\Phi(\Omega^k z) - \Phi(0)\| \le \mathrm{Lip}(\Phi) \sqrt{\mathrm{cond}(P)}
       \, \|z\| $$

    **Returns:** a `StabilityCertificate`. **Raises:** `ConfigError` for a map that
    grows: it names the eigenvalue; for a model that moves by no linear map.
    **Source:** Mahoney 2020 (the role of P); the bounds follow from x^T P x falling.

    ```python
    >>> import jax
    >>> from pendula.latent import certify, latent_linear
    >>> model = latent_linear(6, (4,), 2, key=jax.random.key(0))
    >>> proof = certify(model)
    >>> proof.radius < 1.0, proof.transient
    (True, 1.0)

    ```
    """
    if isinstance(model, FittedLatent):
        model = model.model
    if not isinstance(model, LatentLinear):
        raise ConfigError(
            f"{type(model).__name__} moves by no linear map, and nothing bounds it for "
            "all times. Take latent_linear."
        )
    values = eigenvalues(model.dynamics)
    largest = values[0]
    radius = spectral_radius(model.dynamics)
    is_rotation = isinstance(model.dynamics, RotationDynamics)
    omega = np.asarray(model.dynamics.matrix(), np.float64)
    # of an orthogonal map the modulus is 1 up to the rounding of its entries
    dtype = np.asarray(model.decoder.weights[0]).dtype
    noise = 10 * len(omega) * float(np.finfo(dtype).eps)
    decoder = _stretch(model.decoder)
    if radius >= 1.0 if is_rotation else _is_isometric(omega, noise):
        return StabilityCertificate(min(radius, 1.0), None, None, 1.0, decoder, True)
    p = _lyapunov(model.dynamics, omega)
    if not (radius < 1.0 and np.isfinite(p).all()):
        growth = f"so that forecasts grow by {100 * (radius - 1):.3g} % a step"
        raise ConfigError(
            f"the latent map is not stable: its eigenvalue {largest:.6g} has the "
            f"modulus {radius:.6f}, "
            f"{growth if radius > 1 else 'not below 1 up to rounding'}. Take "
            "RotationDynamics, or more of the Lyapunov prior."
        )
    found = np.linalg.eigvalsh(p)
    transient = 1.0 if is_rotation else math.sqrt(found[-1] / found[0])
    return StabilityCertificate(radius, p, float(found[0]), transient, decoder, False)


def _stretch(decoder: Layers) -> float:
    """A Lipschitz constant: spectral norms times the steepest slopes of what stands
    between the layers."""
    names = [decoder.activation] * (len(decoder.weights) - 1) + [decoder.last]
    slopes = math.prod(_STEEPEST.get(name, 1.0) for name in names)
    return float(decoder.lipschitz_bound()) * slopes


def _lyapunov(dynamics: AbstractLinearMap, omega: np.ndarray) -> np.ndarray:
    """P, not finite where there is none. Of rotations it is read off: next to the
    circle it is sensitive to the rounding of the matrix."""
    if isinstance(dynamics, RotationDynamics):
        a = np.asarray(dynamics.a, np.float64)
        p = -1.0 / np.expm1(-2.0 * np.logaddexp(0.0, a))  # 1 / (1 - r^2)
        pairs = len(dynamics.phi)
        return np.diag(np.concatenate([p[:pairs], p[:pairs], p[pairs:]]))
    with precision(np.float64):
        eye = jnp.eye(len(omega))
        return np.asarray(discrete_lyapunov(jnp.asarray(omega), eye, "smith"))


def _is_isometric(omega: np.ndarray, noise: float) -> bool:
    """Whether the map keeps all lengths up to rounding."""
    gap = omega.T @ omega - np.eye(len(omega))
    return float(np.abs(gap).max()) <= noise
