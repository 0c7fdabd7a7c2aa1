"""A recurrent cell and a head: the model that tasks are given to."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._checks import choice
from .._errors import ConfigError, nearest
from .._registry import register
from .._types import AnyArray
from ..nn import MLP
from ._cell import AbstractCell
from ._cornn import CoRNNCell
from ._gated import GRUCell, LSTMCell
from ._lem import LEMCell, TwoScaleCell
from ._lipschitz import LipschitzCell
from ._lru import LinearRecurrentUnit
from ._noisy import NoisyCell
from ._orthogonal import OrthogonalCell
from ._residual import ResidualCell, SimpleCell
from ._scan import check_inputs, check_length, run_cell


Mode = Literal["last", "all"]


def noisy_lipschitz(
    in_size: int, size: int, *, key: PRNGKeyArray, **settings: Any
) -> NoisyCell:
    """A noisy cell and the Lipschitz cell in it, each given the settings it knows."""
    own = {"epsilon", "sigma1", "sigma2", "noise"}
    inner = {k: v for k, v in settings.items() if k not in own}
    inner = {"dt": 0.01, **inner}
    cell = LipschitzCell(in_size, size, **inner, key=key)
    return NoisyCell(cell, **{k: v for k, v in settings.items() if k in own})


def cayley(
    in_size: int, size: int, *, key: PRNGKeyArray, **settings: Any
) -> OrthogonalCell:
    """An orthogonal cell by Cayley's transform."""
    return OrthogonalCell(in_size, size, rotation="cayley", key=key, **settings)


CELLS: dict[str, Callable[..., AbstractCell]] = {
    "lipschitz": LipschitzCell,
    "antisymmetric": LipschitzCell.antisymmetric,
    "noisy": noisy_lipschitz,
    "lem": LEMCell,
    "two_scale": TwoScaleCell,
    "cornn": CoRNNCell,
    "exprnn": OrthogonalCell,
    "cayley": cayley,
    "residual": ResidualCell,
    "simple": SimpleCell,
    "gru": GRUCell,
    "lstm": LSTMCell,
    "lru": LinearRecurrentUnit,
}
"""Name -> what makes the cell."""


@register("module")
class RecurrentModel(eqx.Module):
    r"""A cell driven by a sequence, and a linear head on what is read of its state.

    $$ s_{n} = \mathrm{step}(s_{n-1}, u_n), \quad y_n = D\, \mathrm{read}(s_n) + d $$

    **Shapes:** input `"time in"`; output `"out"` at the end (`mode="last"`), or
    `"time out"` (`"all"`); batches by `jax.vmap`.
    **Arguments:** `cell`; `head`: `"hidden"` to `"out"`; `mode`; `chunk`,
    `unroll`: as in `run_cell`.
    **Raises:** `ConfigError` for an unknown mode; `ShapeError` for inputs of another
    size.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import recurrent_model
    >>> model = recurrent_model("lem", 2, 16, 1, mode="all", key=jax.random.key(0))
    >>> model(jnp.ones((50, 2))).shape
    (50, 1)

    ```
    """

    cell: AbstractCell
    head: MLP
    mode: str = eqx.field(static=True, default="last")
    """`"last"` or `"all"`."""
    chunk: int | None = eqx.field(static=True, default=None)
    """Samples between two kept states; see `run_cell`."""
    initial: MLP | None = None
    """The first input to the first state, instead of a step (`neural_cde`)."""
    unroll: int | None = eqx.field(static=True, default=None)
    """Steps that the compiled loop does at a time; see `run_cell`."""

    def __check_init__(self) -> None:
        choice("mode", self.mode, get_args(Mode))

    def __call__(
        self,
        us: Float[AnyArray, "time in"],
        length: Int[AnyArray, ""] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Array:
        """The output of one sequence; with `key` the noise of training is in it."""
        return self.traced(us, length, key)[0]

    def traced(
        self,
        us: Float[AnyArray, "time in"],
        length: Int[AnyArray, ""] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, Any]:
        """The output, and the last state."""
        us, keep = jnp.asarray(us), self.mode == "all"
        begin, rest = self.begun(us)
        if length is not None:
            check_length(length, len(us))
            # of no sample at all the state stays where it begins
            length = jnp.maximum(jnp.asarray(length) - (len(us) - len(rest)), 0)
        state, seen = begin, []
        if self.initial is not None:
            seen.append(self.cell.read(begin)[None])
        if len(rest):
            state, reads = run_cell(
                self.cell,
                rest,
                state=begin,
                length=length,
                key=key,
                all_states=keep,
                chunk=self.chunk,
                unroll=self.unroll,
            )
            seen.append(reads)
        if keep:
            return jax.vmap(self.head)(jnp.concatenate(seen)), state
        return self.head(self.cell.read(state)), state

    def begun(self, us: Float[Array, "time in"]) -> tuple[Any, Float[Array, "rest in"]]:
        """The state before the first step, and the inputs of the steps."""
        check_inputs(self.cell, us)
        if self.initial is None:
            return self.cell.start(), us
        return self.initial(us[0]), us[1:]


def recurrent_model(
    cell: str,
    in_size: int,
    size: int,
    out_size: int,
    *,
    mode: str = "last",
    chunk: int | None = None,
    unroll: int | None = None,
    key: PRNGKeyArray,
    **settings: Any,
) -> RecurrentModel:
    """A model by the name of its cell, one of `CELLS`; `settings` are the cell's.

    The head's weights are drawn as its layer is, of LEM from N(0, 2 / hidden) with
    biases as there: what the published network has.

    **Raises:** `ConfigError` for an unknown name or setting, with the nearest.

    ```python
    >>> import jax
    >>> from pendula._tree import num_parameters
    >>> from pendula.sequences import recurrent_model
    >>> num_parameters(recurrent_model("lipschitz", 1, 128, 10, key=jax.random.key(0)))
    34314

    ```
    """
    choice("cell", cell, CELLS)
    make = CELLS[cell]
    _check_settings(cell, settings)
    one, two, three = jax.random.split(key, 3)
    made = make(in_size, size, key=one, **settings)
    head = MLP(size, out_size, depth=0, key=two)
    if cell == "lem":
        drawn = math.sqrt(2.0 / size) * jax.random.normal(three, (out_size, size))
        head = eqx.tree_at(lambda h: h.weight_out, head, drawn)
    return RecurrentModel(made, head, mode, chunk, unroll=unroll)


def _check_settings(cell: str, settings: dict[str, Any]) -> None:
    makers = [CELLS[cell]]
    if cell == "noisy":
        makers += [LipschitzCell, NoisyCell]
    if cell == "cayley":
        makers.append(OrthogonalCell)
    taken = {"self", "cls", "in_size", "size", "key", "settings", "cell", "rotation"}
    known = {n for m in makers for n in inspect.signature(m).parameters} - taken
    for name in settings:
        if name not in known:
            raise ConfigError(
                f'{cell} has no setting "{name}".{nearest(name, known)} '
                f"Known: {', '.join(sorted(known)) or 'none'}."
            )


def largest_state(state: Any) -> Float[Array, ""]:
    """Largest magnitude of any entry of a state."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(x)) for x in jax.tree.leaves(state)]))
