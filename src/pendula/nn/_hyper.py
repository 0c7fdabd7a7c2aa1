"""Hypernetworks: a network whose weights another network predicts."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import ConfigError
from .._registry import register
from .._source import Source
from ._conditioned import AbstractConditioned, Bound, mlp_settings
from ._mlp import MLP


def encode_task(task: Float[Array, " task"]) -> Float[Array, " code"]:
    r"""A vector of [0, 1] on circles, so that its size says nothing of its norm.

    $$ E(\gamma) = (\cos \tfrac{\pi}{2}\gamma, \sin \tfrac{\pi}{2}\gamma) $$

    **Shapes:** `"task"` to `"2 task"`, norm sqrt(task) whatever the values.
    **Source:** Ortiz, Guttag, Dalca 2023, arXiv:2304.07645, section 4.1.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.nn import encode_task
    >>> round(float(jnp.linalg.norm(encode_task(jnp.array([0.3])))), 6)
    1.0

    ```
    """
    angle = 0.5 * jnp.pi * task
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)])


@register("module")
class Hyper(eqx.Module):
    r"""Weights of any module as a function of a task, magnitude-invariant.

    $$ \theta(\gamma) = \theta_0 + h(E(\gamma)), \qquad
       E(\gamma) = (\cos \tfrac{\pi}{2}\gamma, \sin \tfrac{\pi}{2}\gamma) $$

    A plain hypernetwork (`plain=True`) predicts the weights themselves from the task
    value: their size, and the variance of the gradient, then follow the size of the
    task. It is kept for comparison.

    **Arguments:** `module`: what is conditioned, its arrays are theta_0; `task_dim`:
    size of gamma, in [0, 1]; `rank`: the corrections as combinations of that many
    directions (None: a full matrix); `width`: of h.
    **Shapes:** `adapt(gamma "task")` returns a module like the given one.
    **Raises:** `ConfigError` for sizes below 1.
    **Source:** Ortiz, Guttag, Dalca 2023, arXiv:2304.07645.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.nn import MLP, Hyper
    >>> base = MLP(2, 1, width=4, depth=1, key=jax.random.key(0))
    >>> hyper = Hyper(base, 1, key=jax.random.key(1))
    >>> hyper.adapt(jnp.array([0.2]))(jnp.ones(2)).shape
    (1,)

    ```
    """

    source: ClassVar[Source] = Source("Ortiz2023", "section 4")

    base: Any
    net: MLP
    spread: Float[Array, "weight rank"] | None
    task_dim: int = eqx.field(static=True)
    plain: bool = eqx.field(static=True)

    def __init__(
        self,
        module: Any,
        task_dim: int,
        *,
        rank: int | None = None,
        width: int = 16,
        plain: bool = False,
        key: PRNGKeyArray,
    ) -> None:
        if task_dim < 1 or (rank is not None and rank < 1):
            raise ConfigError(
                f"a hypernetwork of task_dim {task_dim} and rank {rank}: both must be "
                "at least 1."
            )
        weights, _ = ravel_pytree(eqx.filter(module, eqx.is_inexact_array))
        key_net, key_spread = jax.random.split(key)
        out = weights.size if rank is None else rank
        inputs = task_dim if plain else 2 * task_dim
        net = MLP(inputs, out, width, 1, use_bias=not plain, key=key_net)
        if not plain:  # small corrections: theta_0 keeps its drawn scale
            net = eqx.tree_at(lambda m: m.weight_out, net, 0.1 * net.weight_out)
        self.net = net
        self.base, self.task_dim, self.plain = module, task_dim, plain
        self.spread = None
        if rank is not None:
            draw = jax.random.normal(key_spread, (weights.size, rank))
            self.spread = draw * jnp.std(weights)

    def adapt(self, task: Float[Array, " task"]) -> Any:
        """The module for one task."""
        arrays, static = eqx.partition(self.base, eqx.is_inexact_array)
        weights, unravel = ravel_pytree(arrays)
        more = self.net(task if self.plain else encode_task(task))
        more = more if self.spread is None else self.spread @ more
        return eqx.combine(unravel(more if self.plain else weights + more), static)


@register("module")
class HyperMLP(AbstractConditioned):
    r"""An MLP of z whose weights a magnitude-invariant hypernetwork predicts.

    $$ y = N_{\theta_0 + h(E(\Phi(\eta)))}(z) $$

    with the normal distribution function Phi, which takes an unbounded eta into
    [0, 1].

    **Shapes:** z `"in"`, eta `"eta"`, output `"out"`.
    **Source:** Ortiz, Guttag, Dalca 2023, arXiv:2304.07645.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.nn import conditioned
    >>> net = conditioned("hyper", 2, 1, 1, width=8, key=jax.random.key(0))
    >>> net.bind(jnp.zeros(1))(jnp.ones(2)).shape
    (1,)

    ```
    """

    source: ClassVar[Source] = Source("Ortiz2023", "section 4")

    hyper: Hyper

    def __init__(
        self,
        in_size: int,
        out_size: int,
        eta_size: int,
        *,
        key: PRNGKeyArray,
        **mlp: Any,
    ) -> None:
        key_base, key_hyper = jax.random.split(key)
        base = MLP(in_size, out_size, key=key_base, **mlp)
        rank = 4 * eta_size  # few directions, as few as a family has parameters
        self.hyper = Hyper(base, eta_size, rank=rank, key=key_hyper)

    @property
    def in_size(self) -> int:
        """Number of entries of z."""
        return self.hyper.base.in_size

    @property
    def out_size(self) -> int:
        """Number of outputs."""
        return self.hyper.base.out_size

    @property
    def eta_size(self) -> int:
        """Number of entries of eta."""
        return self.hyper.task_dim

    def bind(self, eta: Float[Array, " eta"]) -> Bound:
        return self.hyper.adapt(jax.scipy.stats.norm.cdf(eta))

    def redraw(self, key: PRNGKeyArray) -> HyperMLP:
        settings = mlp_settings(self.hyper.base)
        return HyperMLP(self.in_size, self.out_size, self.eta_size, key=key, **settings)
