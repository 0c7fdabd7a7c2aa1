"""What noise on the state adds to the loss, to second order."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import ConfigError
from ._model import RecurrentModel
from ._noisy import NoisyCell
from ._scan import check_inputs


class ImplicitRegulariser(NamedTuple):
    """`q` (by the curvature of the flow) and `r` (by that of the loss): the mean loss
    under noise is the clean one plus epsilon^2 (q + r) / 2."""

    q: Float[Array, "*sample"]
    r: Float[Array, "*sample"]


def implicit_regulariser(
    model: RecurrentModel,
    us: Float[Array, "time in"],
    loss: Callable[[Float[Array, " out"]], Float[Array, ""]],
) -> ImplicitRegulariser:
    r"""The two terms by which small noise changes the mean loss of one sequence.

    $$ E\, \ell(h^\epsilon_M) = \ell(\bar h_M) + \tfrac{\epsilon^2}{2}(Q + R)
       + O(\epsilon^3), \quad
       R = \sum_m \delta\, \mathrm{tr}(s_m^\top \Phi_m^\top H_\ell \Phi_m s_m), $$

    $$ Q = \nabla \ell^\top \sum_{k} \delta\, \Phi_{M-1,k} \sum_{m < k} \delta\,
       v_{k,m}, \quad [v_{k,m}]^p = \mathrm{tr}(s_{m-1}^\top \Phi_{k-2,m}^\top
       \nabla^2 f^p(h_{k-1}) \Phi_{k-2,m} s_{m-1}) $$

    with $\Phi$ the products of the Jacobians of the steps in between and s the noise
    over epsilon. They are not summed up but carried along: the covariance
    $P^+ = J P J^\top + \delta s s^\top$ and twice the shift of the mean,
    $m^+ = J m + \delta\, \mathrm{tr}(\nabla^2 f\, P)$, give $R = \mathrm{tr}(H_\ell P)$
    and $Q = \nabla \ell^\top m$.

    **Shapes:** `us` `"time in"`; of many sequences by `jax.vmap`. Work grows with the
    cube of the state's size.
    **Arguments:** `model` with a `NoisyCell` of Ito's noise and mode `"last"`; `loss`:
    of the model's output.
    **Raises:** `ConfigError` for another model; `ShapeError` for inputs of another size
    or without a sample.
    **Source:** Lim, Erichson, Hodgkinson, Mahoney 2021, theorem 1; the talk of 2021
    prints v at the last step for every k, which is not the expansion.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import implicit_regulariser, recurrent_model
    >>> model = recurrent_model("noisy", 1, 4, 1, sigma1=1.0, key=jax.random.key(0))
    >>> found = implicit_regulariser(model, jnp.ones((10, 1)), lambda y: jnp.sum(y**2))
    >>> float(found.r) > 0
    True

    ```
    """
    cell = model.cell
    if not isinstance(cell, NoisyCell) or cell.noise != "ito" or model.mode != "last":
        raise ConfigError(
            'the implicit regulariser is that of a NoisyCell with noise "ito" in a '
            'model of mode "last". Make one by recurrent_model("noisy", ...).'
        )
    check_inputs(cell, us)
    weights, n = cell.weights(), cell.size
    inner = weights[0]
    basis = jnp.eye(n, dtype=cell.cell.bias.dtype)

    def one(carry: tuple, u: Array) -> tuple[tuple, None]:
        h, twice, cov = carry
        fed = cell.feed(u)
        move = lambda h: cell.step(weights, h, fed)
        jac = jax.jacfwd(move)(h)
        # tr(Hess P) as the sum over columns of P of second derivatives along (e, P e)
        along = lambda e, p: jax.jvp(lambda x: jax.jvp(move, (x,), (e,))[1], (h,), (p,))
        bent = jnp.sum(jax.vmap(lambda e, p: along(e, p)[1])(basis, cov.T), axis=0)
        s = cell.sigma1.value + cell.sigma2.value * cell.cell.slope(inner, h, fed)
        twice = jac @ twice + bent
        cov = jac @ cov @ jac.T + cell.dt * jnp.diag(s**2)
        return (move(h), twice, cov), None

    begin = (cell.start(), jnp.zeros(n, basis.dtype), jnp.zeros((n, n), basis.dtype))
    (h, twice, cov), _ = jax.lax.scan(one, begin, us)
    end = lambda h: loss(model.head(cell.read(h)))
    return ImplicitRegulariser(
        jax.grad(end)(h) @ twice, jnp.sum(jax.hessian(end)(h) * cov)
    )
