"""How a cell's states move when something before them is moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Complex, Float

from .._checks import choice
from ._cell import AbstractCell
from ._lipschitz import LipschitzCell
from ._model import RecurrentModel
from ._noisy import NoisyCell
from ._scan import check_inputs


def jacobian(
    cell: AbstractCell, state: Any, u: Float[Array, " in"]
) -> Float[Array, "dim dim"]:
    """Derivative of the drift by the state, both flat: the linear system that small
    deviations obey.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import LipschitzCell, jacobian
    >>> cell = LipschitzCell(1, 3, key=jax.random.key(0))
    >>> jacobian(cell, cell.start(), jnp.ones(1)).shape
    (3, 3)

    ```
    """
    flat, back = ravel_pytree(_real(state))
    join = lambda v: _complex(back(v), state)
    return jax.jacfwd(lambda v: ravel_pytree(_real(cell.drift(join(v), u)))[0])(flat)


def spectra(
    cell: AbstractCell, us: Float[Array, "time in"]
) -> Complex[Array, "time dim"]:
    """Eigenvalues of the drift's Jacobian along a sequence: after each input, at the
    state that it led to, largest real part first. **Raises:** `ShapeError` for inputs
    of another size or without a sample.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import LipschitzCell, spectra
    >>> calm = LipschitzCell(1, 3, gamma=3.0, gamma_w=0.0, key=jax.random.key(0))
    >>> bool((spectra(calm, jnp.ones((5, 1))).real < 0).all())
    True

    ```
    """
    check_inputs(cell, us)
    weights = cell.weights()

    def one(state: Any, u: Array) -> tuple[Any, Array]:
        after = cell.step(weights, state, cell.feed(u))
        return after, jacobian(cell, after, u)

    _, found = jax.lax.scan(one, cell.start(), us)
    values = jnp.linalg.eigvals(found)
    order = jnp.argsort(-values.real, axis=1)
    return jnp.take_along_axis(values, order, axis=1)


def largest_real_parts(cell: AbstractCell) -> dict[str, float]:
    """Of a Lipschitz cell, also a noisy one, the largest real parts of the eigenvalues
    of A (`eig_a`) and W (`eig_w`); of another cell nothing.

    ```python
    >>> import jax
    >>> from pendula.sequences import LipschitzCell, largest_real_parts
    >>> calm = LipschitzCell(1, 3, gamma=3.0, key=jax.random.key(0))
    >>> {name: round(value) for name, value in largest_real_parts(calm).items()}
    {'eig_a': -3, 'eig_w': -3}

    ```
    """
    inner = cell.cell if isinstance(cell, NoisyCell) else cell
    if not isinstance(inner, LipschitzCell):
        return {}
    largest = lambda m: float(np.linalg.eigvals(np.asarray(m)).real.max())
    named = zip(("eig_a", "eig_w"), inner.weights(), strict=True)
    return {name: largest(matrix) for name, matrix in named if matrix is not None}


def growth_rate(
    cell: AbstractCell, us: Float[Array, "time in"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    r"""How fast states that were begun apart part or meet along a sequence.

    $$ \frac1{T} \ln \left\| \frac{\partial s_T}{\partial s_0} \right\|_2 $$

    **Returns:** the rate per unit of time (T is the number of inputs times `dt`),
    above 0 where states part, and the norm itself.
    **Raises:** `ShapeError` for inputs of another size or without a sample.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import LipschitzCell, growth_rate
    >>> calm = LipschitzCell(1, 3, gamma=3.0, gamma_w=0.0, key=jax.random.key(0))
    >>> bool(growth_rate(calm, jnp.ones((50, 1)))[0] < 0)
    True

    ```
    """
    check_inputs(cell, us)
    weights, begin = cell.weights(), cell.start()
    flat, back = ravel_pytree(_real(begin))
    join = lambda v: _complex(back(v), begin)

    def one(carry: tuple, u: Array) -> tuple[tuple, None]:
        v, tangents, logged = carry
        fed = cell.feed(u)
        move = lambda v: ravel_pytree(_real(cell.step(weights, join(v), fed)))[0]
        push = lambda t: jax.jvp(move, (v,), (t,))[1]
        tangents = jax.vmap(push, 1, 1)(tangents)
        size = jnp.linalg.norm(tangents)
        size = jnp.where(size > 0, size, jnp.ones_like(size))
        return (move(v), tangents / size, logged + jnp.log(size)), None

    eye = jnp.eye(flat.size, dtype=flat.dtype)
    zero = jnp.zeros((), flat.dtype)
    (_, tangents, logged), _ = jax.lax.scan(one, (flat, eye, zero), us)
    logged = logged + jnp.log(jnp.linalg.norm(tangents, 2))
    span = len(us) * cell.dt.astype(flat.dtype)
    return logged / span, jnp.exp(logged)


def gradient_profile(
    model: RecurrentModel,
    us: Float[Array, "time in"],
    loss: Callable[[Array], Float[Array, ""]],
) -> Float[Array, " time"]:
    r"""$\|\partial L / \partial s_t\|$ after every input: whether what was seen long
    ago still moves the loss, or moves it too much.

    **Arguments:** `loss`: of the model's output for this sequence.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import gradient_profile, recurrent_model
    >>> model = recurrent_model("lem", 1, 4, 1, key=jax.random.key(0))
    >>> gradient_profile(model, jnp.ones((9, 1)), lambda y: jnp.sum(y**2)).shape
    (9,)

    ```
    """
    cell, (start, rest) = model.cell, model.begun(us)
    weights, begin = cell.weights(), _real(start)
    back = lambda state: _complex(state, start)
    first = len(us) - len(rest)  # 1 where the first input gives the first state
    shift = jax.tree.map(lambda x: jnp.zeros((len(us), *x.shape), x.dtype), begin)

    def value(shift: Any) -> Float[Array, ""]:
        def one(state: Any, at: tuple) -> tuple[Any, Any]:
            u, moved = at
            after = _real(cell.step(weights, back(state), cell.feed(u)))
            after = jax.tree.map(jnp.add, after, moved)
            return after, cell.read(back(after))

        state = begin
        if first:
            state = jax.tree.map(lambda x, moved: x + moved[0], begin, shift)
        later = jax.tree.map(lambda moved: moved[first:], shift)
        _, reads = jax.lax.scan(one, state, (rest, later))
        if first:
            reads = jnp.concatenate([cell.read(back(state))[None], reads])
        if model.mode == "all":
            return loss(jax.vmap(model.head)(reads))
        return loss(model.head(reads[-1]))

    slopes = jax.tree.leaves(jax.grad(value)(shift))
    squares = [jnp.sum(s.reshape(len(us), -1) ** 2, axis=1) for s in slopes]
    return jnp.sqrt(jnp.sum(jnp.stack(squares), axis=0))


def input_gradient(
    model: RecurrentModel, us: Float[Array, "time in"], of: str = "output"
) -> Float[Array, ""]:
    r"""$\|\partial y / \partial u\|_2$ or $\|\partial s_T / \partial u\|_2$, by the
    whole input: how much a small disturbance of the input can move a model.

    **Arguments:** `of`: `"output"`, y, all of it for a series; `"state"`, the last
    state $s_T$ as `growth_rate` has it, which no head scales.
    **Raises:** `ConfigError` for another name.
    **Source:** Erichson et al. 2021; Lim et al. 2021 (the state's).

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import input_gradient, recurrent_model
    >>> model = recurrent_model("lem", 1, 4, 1, key=jax.random.key(0))
    >>> us = jnp.ones((9, 1))
    >>> input_gradient(model, us, "state").shape, bool(input_gradient(model, us) > 0)
    ((), True)

    ```
    """
    choice("of", of, ("output", "state"))

    def moved(us: Float[Array, "time in"]) -> Float[Array, " number"]:
        output, state = model.traced(us)
        return output.ravel() if of == "output" else ravel_pytree(_real(state))[0]

    jac = jax.jacrev(moved)(us)
    return jnp.linalg.norm(jac.reshape(len(jac), -1), 2)


def _real(state: Any) -> Any:
    """Complex arrays as pairs of real ones, so that a state is a real vector."""
    pair = lambda x: (x.real, x.imag) if jnp.iscomplexobj(x) else x
    return jax.tree.map(pair, state)


def _complex(parts: Any, like: Any) -> Any:
    """The inverse, by the structure of `like`."""
    join = lambda x, p: jax.lax.complex(*p) if jnp.iscomplexobj(x) else p
    return jax.tree.map(join, like, parts)
