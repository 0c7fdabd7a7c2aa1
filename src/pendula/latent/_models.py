"""Models that move in a latent space: encode, move, decode."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import whole
from .._errors import ConfigError, ShapeError
from .._registry import register
from .._source import Source
from ..nn import MLP, Layers
from ..solve import RK4, rollout_steps
from ._linear_maps import AbstractLinearMap, DenseDynamics, linear_map


MODES = ("latent", "re-encode")


class AbstractLatentModel(eqx.Module):
    r"""Encoder Psi, a motion of the latent state, decoder Phi.

    `advance(z, steps)` are the latent states after 1, 2, ... steps of the sampling.
    """

    encoder: eqx.AbstractVar[Layers]
    decoder: eqx.AbstractVar[Layers]

    @abstractmethod
    def advance(self, z: Float[Array, " n"], steps: int) -> Float[Array, "step n"]:
        """Latent states after 1, 2, ... `steps` steps."""


def predict_latent(
    model: AbstractLatentModel,
    y0: Float[Array, " m"],
    steps: int,
    mode: str = "latent",
) -> Float[Array, "step m"]:
    r"""What a model says of the 1, 2, ... `steps` next snapshots.

    $$ \mathrm{latent}: y_k = \Phi(\Omega^k \Psi(y_0)), \qquad
       \mathrm{re{-}encode}: y_k = (\Phi \Omega \Psi)^k (y_0) $$

    **Raises:** `ConfigError` for another mode or fewer than one step; `ShapeError` for
    a snapshot of another size.
    **Source:** Mahoney 2020, the two forms of its predictor.
    """
    if mode not in MODES:
        raise ConfigError(f'mode is "{mode}"; expected one of {", ".join(MODES)}.')
    whole(1, steps=steps)
    if y0.shape != (model.encoder.sizes[0],):
        raise ShapeError(
            f"a snapshot of shape {y0.shape}; expected ({model.encoder.sizes[0]},)."
        )
    if mode == "latent":
        return jax.vmap(model.decoder)(model.advance(model.encoder(y0), steps))

    def one(y: Array, _: None) -> tuple[Array, Array]:
        after = model.decoder(model.advance(model.encoder(y), 1)[0])
        return after, after

    return jax.lax.scan(one, y0, None, length=steps)[1]


@register("module")
class LatentLinear(AbstractLatentModel):
    r"""An autoencoder whose latent state moves by a linear map.

    $$ y_{t+k} \approx \Phi(\Omega^k \Psi(y_t)) $$

    **Shapes:** snapshots `"m"`, latent states `"n"`.
    **Arguments:** `encoder` Psi, `decoder` Phi, `dynamics` Omega; `backward`: a second
    map D for the way back of consistent Koopman autoencoders, or None.
    **Raises:** `ConfigError` for parts that do not fit together.
    **Source:** Erichson, Muehlebach, Mahoney 2019; with `backward` Azencot, Erichson,
    Lin, Mahoney 2020.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.latent import latent_linear, predict_latent
    >>> model = latent_linear(10, (8,), 4, key=jax.random.key(0))
    >>> predict_latent(model, jnp.ones(10), 5).shape
    (5, 10)

    ```
    """

    source: ClassVar[Source] = Source("Erichson2019", "section 3")

    encoder: Layers
    dynamics: AbstractLinearMap
    decoder: Layers
    backward: AbstractLinearMap | None = None

    def __check_init__(self) -> None:
        _check_parts(self.encoder, self.dynamics.size, self.decoder)
        if self.backward is not None and self.backward.size != self.dynamics.size:
            raise ConfigError(
                f"the map back has {self.backward.size} numbers, the map forward "
                f"{self.dynamics.size}."
            )

    def advance(self, z: Float[Array, " n"], steps: int) -> Float[Array, "step n"]:
        """Latent states after 1, 2, ... `steps` steps."""
        return self.dynamics.powers(z, steps)


@register("module")
class LatentODE(AbstractLatentModel):
    r"""An autoencoder whose latent state follows a neural ODE, a step the unit of time.

    $$ \dot z = f_\theta(z), \qquad y_{t+k} \approx \Phi(z(t + k)) $$

    It may grow, decay and saturate, what no linear map does: the way to transients.
    **Arguments:** `encoder`, `decoder`; `field` f; `substeps` of RK4 between two
    snapshots.
    **Source:** Chen, Rubanova, Bettencourt, Duvenaud 2018, section 5.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.latent import latent_ode, predict_latent
    >>> model = latent_ode(10, (8,), 4, width=8, key=jax.random.key(0))
    >>> predict_latent(model, jnp.ones(10), 5).shape
    (5, 10)

    ```
    """

    source: ClassVar[Source] = Source("Chen2018", "section 5")

    encoder: Layers
    field: MLP
    decoder: Layers
    substeps: int = eqx.field(static=True, default=1)
    """Steps of RK4 between two snapshots."""

    def __check_init__(self) -> None:
        _check_parts(self.encoder, self.field.in_size, self.decoder)
        whole(1, substeps=self.substeps)

    def advance(self, z: Float[Array, " n"], steps: int) -> Float[Array, "step n"]:
        """Latent states after 1, 2, ... `steps` steps."""
        zero, dts = jnp.zeros((), z.dtype), jnp.ones(steps, z.dtype)
        law = lambda t, y, u, context: self.field(y)
        rolled = rollout_steps(law, z, zero, dts, scheme=RK4, substeps=self.substeps)
        return rolled.ys[1:]


def _check_parts(encoder: Layers, size: int, decoder: Layers) -> None:
    if encoder.sizes[-1] != size or decoder.sizes[0] != size:
        raise ConfigError(
            f"an encoder to {encoder.sizes[-1]} numbers, a motion of {size}, a decoder "
            f"of {decoder.sizes[0]}: they must be the same."
        )
    if encoder.sizes[0] != decoder.sizes[-1]:
        raise ConfigError(
            f"an encoder of {encoder.sizes[0]} numbers and a decoder to "
            f"{decoder.sizes[-1]}: they must be the same."
        )


def _coders(
    size: int, hidden: tuple[int, ...], n: int, last: str | None, key: PRNGKeyArray
) -> tuple[Layers, Layers]:
    first, second = jax.random.split(key)
    encoder = Layers((size, *hidden, n), key=first)
    decoder = Layers((n, *reversed(hidden), size), last=last, key=second)
    return encoder, decoder


def latent_linear(
    size: int,
    hidden: tuple[int, ...] = (40, 25),
    n: int = 16,
    dynamics: str | AbstractLinearMap = "rotation",
    *,
    consistent: str | None = None,
    last: str | None = None,
    key: PRNGKeyArray,
) -> LatentLinear:
    """An autoencoder with a linear latent map, tanh between its layers.

    **Arguments:**
    - `size`: numbers of a snapshot (of its coordinates); `hidden`: widths of the
      encoder, the decoder's are the same backwards; `n`: latent numbers.
    - `dynamics`: a name of `linear_map`, or a map.
    - `consistent`: give the model a map D back, as consistent Koopman autoencoders
      have: `"inverse"` starts it at the inverse of C, `"paper"` at the pseudoinverse
      of C^T, which is C itself for an orthogonal one, as in the published code.
    - `last`: activation at the output, None for none (Koopman autoencoders: tanh).

    **Raises:** `ConfigError` for settings that cannot be.
    """
    coders, moving = jax.random.split(key)
    if isinstance(dynamics, str):
        dynamics = linear_map(dynamics, n, key=moving)
    back = None
    if consistent is not None:
        if consistent not in ("inverse", "paper"):
            raise ConfigError(
                f'consistent is "{consistent}"; expected "inverse" or "paper".'
            )
        omega = np.asarray(dynamics.matrix(), np.float64)
        start = np.linalg.pinv(omega if consistent == "inverse" else omega.T)
        back = DenseDynamics(n, key=moving)
        back = eqx.tree_at(
            lambda d: d.omega, back, jnp.asarray(start, back.omega.dtype)
        )
    encoder, decoder = _coders(size, hidden, n, last, coders)
    return LatentLinear(
        encoder=encoder, dynamics=dynamics, decoder=decoder, backward=back
    )


def latent_ode(
    size: int,
    hidden: tuple[int, ...] = (40, 25),
    n: int = 16,
    *,
    width: int = 64,
    depth: int = 2,
    substeps: int = 1,
    key: PRNGKeyArray,
) -> LatentODE:
    """An autoencoder with a neural ODE of `depth` layers of `width` tanh inside.

    **Raises:** `ConfigError` for settings that cannot be.
    """
    coders, moving = jax.random.split(key)
    encoder, decoder = _coders(size, hidden, n, None, coders)
    field = MLP(n, n, width, depth, key=moving)
    return LatentODE(encoder=encoder, field=field, decoder=decoder, substeps=substeps)


def koopman_modes(model: AbstractLatentModel) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of Omega, and their directions decoded: complex modes `"n m"`.

    A mode is the derivative of the decoder at the latent origin along an eigenvector.
    **Raises:** `ConfigError` for a model that moves by no linear map.
    """
    if not isinstance(model, LatentLinear):
        raise ConfigError(
            f"{type(model).__name__} moves by no linear map, and has no modes. Take "
            "latent_linear."
        )
    omega = np.asarray(model.dynamics.matrix(), np.float64)
    values, vectors = np.linalg.eig(omega)
    origin = jnp.zeros(len(omega), model.decoder.weights[0].dtype)
    slope = jax.jacobian(model.decoder)(origin)
    order = np.argsort(-np.abs(values), kind="stable")
    modes = np.asarray(slope, np.float64) @ vectors
    return values[order].astype(complex), modes.T[order]
