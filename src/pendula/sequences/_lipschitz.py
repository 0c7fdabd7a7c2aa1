"""The Lipschitz recurrent network and the antisymmetric one."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import choice, whole
from .._errors import ConfigError
from .._registry import register
from .._source import Source
from ..nn import HeldNumber, symmetric_mix
from ._cell import (
    AbstractCell,
    AbstractSteppedCell,
    held,
    not_negative,
    positive,
    uniform,
)


Scheme = Literal["euler", "rk2"]


def skewed(
    matrix: Float[Array, "hidden hidden"],
    beta: Float[Array, ""] | float,
    gamma: Float[Array, ""] | float,
) -> Float[Array, "hidden hidden"]:
    r"""$S(M; \beta, \gamma) = (1 - \beta)(M + M^\top) + \beta(M - M^\top)
    - \gamma I$.

    With beta = 1 skew (less gamma), with 0.5 it is M - gamma I, with 0 symmetric: beta
    weights the skew part, other than in `nn.symmetric_mix`.

    **Source:** Erichson, Azencot, Queiruga, Hodgkinson, Mahoney 2021, equation 4.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.sequences import skewed
    >>> skewed(jnp.array([[1.0, 2.0], [3.0, 4.0]]), 1.0, 0.5).tolist()
    [[-0.5, -1.0], [1.0, -0.5]]

    ```
    """
    mixed = symmetric_mix(matrix, jnp.asarray(1.0 - beta, matrix.dtype))
    return mixed - jnp.asarray(gamma, matrix.dtype) * jnp.eye(
        len(matrix), dtype=matrix.dtype
    )


@register("module")
class LipschitzCell(AbstractSteppedCell):
    r"""The Lipschitz recurrent network: a linear part with eigenvalues under control,
    and a nonlinear one of bounded slope.

    $$ \dot h = \alpha A h + \tanh(W h + U u + b), \quad A = S(M_A; \beta, \gamma),
       \quad W = S(M_W; \beta, \gamma) $$

    with `skewed` S. Steps of length `dt` by Euler's rule or the explicit midpoint
    rule (`"rk2"`), u held. `gated`: the right-hand side is multiplied by
    sigmoid(W h + U_g u + b_g).

    **Shapes:** input `"in"`, state h `"hidden"`.
    **Arguments:**
    - `dt` > 0, the step (epsilon in the source).
    - `beta` in [0, 1], `gamma` >= 0: of A; `beta_w`, `gamma_w`: of W, the same ones
      where not given.
    - `alpha` >= 0, the weight of the linear part; with 0 there is none, and with
      beta = 1 this is the antisymmetric network (`antisymmetric`).
    - `init_std`: entries of M_A and M_W are drawn from N(0, (init_std / hidden)^2).

    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** dt 0.03, beta 0.75, gamma 0.001 for pixels one by one.
    Where `stability_margin` is positive, two states of the differential equation
    approach each other under any input, and so do those of a step that is short enough.
    **Source:** Erichson et al., Lipschitz recurrent neural networks, 2021,
    arXiv:2006.12070, equations 3-4; without linear part Chang, Chen, Haber, Chi,
    AntisymmetricRNN, 2019, arXiv:1902.09689, equations 10 and 12.

    ```python
    >>> import jax
    >>> from pendula._tree import num_parameters
    >>> from pendula.sequences import LipschitzCell
    >>> num_parameters(LipschitzCell(1, 64, key=jax.random.key(0)))
    8320

    ```
    """

    source: ClassVar[Source] = Source("Erichson2021", "equations 3-4")

    matrix: Float[Array, "hidden hidden"]
    """M_W."""
    linear: Float[Array, "hidden hidden"] | None
    """M_A."""
    input: Float[Array, "fed in"]
    """U, and below it U_g."""
    bias: Float[Array, " fed"]
    """b, and below it b_g."""
    held_dt: HeldNumber
    beta: HeldNumber
    gamma: HeldNumber
    alpha: HeldNumber
    beta_w: HeldNumber
    gamma_w: HeldNumber
    in_size: int = eqx.field(static=True)
    size: int = eqx.field(static=True)
    scheme: str = eqx.field(static=True)
    """`"euler"` or `"rk2"`."""
    gated: bool = eqx.field(static=True)
    """Whether there is a gate."""

    def __init__(
        self,
        in_size: int,
        size: int,
        *,
        dt: float = 0.03,
        beta: float = 0.75,
        gamma: float = 0.001,
        alpha: float = 1.0,
        beta_w: float | None = None,
        gamma_w: float | None = None,
        scheme: str = "euler",
        gated: bool = False,
        init_std: float = 0.1,
        key: PRNGKeyArray,
    ) -> None:
        whole(1, "LipschitzCell", in_size=in_size, size=size)
        choice("scheme", scheme, get_args(Scheme))
        self.held_dt = held(positive(dt, "dt"))
        self.beta, self.gamma = held(_share(beta)), held(not_negative(gamma, "gamma"))
        self.alpha = held(not_negative(alpha, "alpha"))
        self.beta_w = held(_share(beta if beta_w is None else beta_w))
        self.gamma_w = held(
            not_negative(gamma if gamma_w is None else gamma_w, "gamma_w")
        )
        one, two, three = jax.random.split(key, 3)
        spread = positive(init_std, "init_std") / size
        draw = lambda k: spread * jax.random.normal(k, (size, size))
        self.matrix = draw(one)
        self.linear = draw(two) if alpha else None
        rows = 2 * size if gated else size
        self.input, self.bias = uniform(three, rows, in_size, 1.0 / math.sqrt(in_size))
        self.in_size, self.size = in_size, size
        self.scheme, self.gated = scheme, gated

    @classmethod
    def antisymmetric(
        cls,
        in_size: int,
        size: int,
        *,
        dt: float = 0.01,
        gamma: float = 1e-4,
        gated: bool = False,
        init_std: float = 0.1,
        key: PRNGKeyArray,
    ) -> LipschitzCell:
        r"""$\dot h = \tanh((M - M^\top - \gamma I) h + U u + b)$, gated by the same
        matrix if asked."""
        how: dict[str, Any] = {"dt": dt, "gamma": gamma, "gated": gated}
        return cls(
            in_size, size, beta=1.0, alpha=0.0, init_std=init_std, key=key, **how
        )

    def start(self) -> Float[Array, " hidden"]:
        """Zero."""
        return jnp.zeros(self.size, self.bias.dtype)

    def weights(self) -> tuple[Array | None, Array]:
        """alpha A (None without it) and W."""
        w = skewed(self.matrix, self.beta_w.value, self.gamma_w.value)
        if self.linear is None:
            return None, w
        a = skewed(self.linear, self.beta.value, self.gamma.value)
        return self.alpha.value * a, w

    def feed(self, u: Float[Array, " in"]) -> Float[Array, " fed"]:
        """U u + b, and that of the gate."""
        return self.input @ u + self.bias

    def step(
        self,
        weights: Any,
        state: Float[Array, " hidden"],
        fed: Float[Array, " fed"],
    ) -> Float[Array, " hidden"]:
        """One step of the scheme, the input held."""
        f = lambda h: self.slope(weights, h, fed)
        first = f(state)
        if self.scheme == "rk2":
            first = f(state + 0.5 * self.dt * first)
        return state + self.dt * first

    def slope(
        self, weights: Any, h: Float[Array, " hidden"], fed: Float[Array, " fed"]
    ) -> Float[Array, " hidden"]:
        """The right-hand side with its matrices at hand."""
        a, w = weights
        inner = w @ h
        out = jnp.tanh(inner + fed[: self.size])
        if a is not None:
            out = out + a @ h
        if self.gated:
            out = out * jax.nn.sigmoid(inner + fed[self.size :])
        return out

    def drift(
        self, state: Float[Array, " hidden"], u: Float[Array, " in"]
    ) -> Float[Array, " hidden"]:
        """dh/dt."""
        return self.slope(self.weights(), state, self.feed(u))

    def read(self, state: Float[Array, " hidden"]) -> Float[Array, " hidden"]:
        """h."""
        return state


def stability_margin(cell: AbstractCell) -> float:
    r"""How far a Lipschitz cell is on the safe side: above 0 two states approach each
    other under any input.

    $$ -\alpha\, \lambda_{\max}\!\left(\tfrac12 (A + A^\top)\right)
       - \sigma_{\max}(W) $$

    the slope of tanh being at most 1. A gate changes with the state and is not covered.

    **Raises:** `ConfigError` for a gated cell, or of another kind.
    **Source:** Erichson et al. 2021, theorem 1 and its proof.

    ```python
    >>> import jax
    >>> from pendula.sequences import LipschitzCell, stability_margin
    >>> calm = LipschitzCell(1, 8, gamma=1.0, gamma_w=0.0, key=jax.random.key(0))
    >>> stability_margin(calm) > 0.8
    True

    ```
    """
    if not isinstance(cell, LipschitzCell):
        raise ConfigError(
            f"the margin is known of a LipschitzCell; this one is a "
            f"{type(cell).__name__}. Of a NoisyCell ask for that of its cell."
        )
    if cell.gated:
        raise ConfigError(
            "the margin of a gated cell is not known: the gate changes with the state. "
            "Take one without a gate."
        )
    a, w = cell.weights()
    largest = 0.0
    if a is not None:
        largest = float(jnp.linalg.eigvalsh(0.5 * (a + a.T))[-1])
    return -largest - float(jnp.linalg.norm(w, 2))


def _share(beta: float) -> float:
    if not 0.0 <= beta <= 1.0:
        raise ConfigError(
            f"beta is {beta:g}; it is the share of the skew part and must lie in "
            "[0, 1]."
        )
    return float(beta)
