"""A network that is continuous in depth: an equation solved from t = 0 to 1."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar, Literal, SupportsIndex, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._checks import choice, not_negative, positive
from .._errors import ConfigError, DataError, FitWarning, ShapeError
from .._registry import register
from .._source import Source
from ..nn import Convolution
from ._adjoint import continuous_adjoint
from ._basis import AbstractBasis, AbstractLinearBasis, make_basis
from ._evolved import Evolved
from ._places import Place, Steps, lengths, stage_places
from ._project import interpolate, project
from ._state import (
    StateMode,
    Visits,
    carried,
    check_fits,
    fitted,
    gathered,
    read_node,
    read_row,
    repeated,
    unseen,
    visits,
    write_node,
)
from ._step import explicit_step, tableau


Init = Literal["independent", "shared"]
Adjoint = Literal["discrete", "continuous"]


@register("module")
class OdeBlock(eqx.Module):
    r"""A residual unit made continuous in depth, and solved by a scheme.

    $$ \frac{dx}{dt} = \varepsilon\, R(x(t), \theta(t)), \quad x(0) = x_{in}, \quad
       x_{out} = x(1), \qquad \theta(t) = \sum_\beta \phi^\beta(t)\, \theta^\beta $$

    Euler steps on a piecewise constant basis with M = N_t and $\varepsilon = N_t$ are
    exactly a residual network of N_t units. The basis says what is learned; scheme
    and steps, how it is evaluated: they may be changed afterwards (`manifest`), as may
    the basis (`project`, `interpolate`, `refine`). $\varepsilon$ stays as it is.

    **Shapes**: x of any shape, which the unit must keep; one sample a call, the state
    a tree with a leading axis of nodes, or None.
    **Arguments:**
    - `unit`: a module called `(x, state) -> (r, state)`.
    - `basis`, `n_basis`: name and number of coefficients, or a basis.
    - `scheme`: euler, midpoint, heun, rk3, rk4 or rk4_38. `n_steps`: number N_t of
      equal steps, or the lengths of unequal ones; M without (on unequal
      cells each as long as the part of depth of its coefficient).
    - `epsilon`: time length; N_t without.
    - `init`: `"independent"` draws the unit anew for each coefficient (it must have
      `redraw`), `"shared"` starts them all as the unit is.
    - `state_mode`: `"nodes"`, a running state a node, which each stage updates that
      lies nearest to it; `"projected"`, a state in the same basis, fitted to what all
      stages recorded; `"stages"`, one for each stage of the scheme it is trained in.
      The first two mix what different stages of a node see, which in few long steps of
      a scheme of high order is not alike; stages of another scheme read the nearest.
    - `checkpoint`: recompute each step in the backward pass instead of keeping it.
    - `adjoint`: `"discrete"`, the gradient of the steps; `"continuous"`, that of the
      equation, solved backwards from the output alone.

    **Raises:** `ConfigError` for settings that cannot be; `DataError` when called with
    whole numbers; `ShapeError` with a unit that changes the shape, or a state that has
    other entries in depth.
    **Source:** Queiruga, Erichson, Taylor, Mahoney 2020, arXiv:2008.02389.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.depth import DenseUnit, OdeBlock
    >>> unit = DenseUnit(2, 8, key=jax.random.key(0))
    >>> block = OdeBlock(unit, n_basis=3, key=jax.random.key(1))
    >>> x, _ = block(jnp.ones(2))
    >>> deeper = block.refine().manifest("rk4", 6)
    >>> deeper.basis.n_basis, deeper.n_steps, deeper.epsilon
    (6, 6, 3.0)

    ```
    """

    source: ClassVar[Source] = Source("Queiruga2020", "ContinuousNet")
    stacked: ClassVar[tuple[str, ...]] = ("unit",)

    unit: Any
    basis: AbstractBasis
    scheme: str = eqx.field(static=True)
    """Name of the scheme."""
    steps: tuple[int, ...] = eqx.field(static=True)
    """Lengths of the steps, whole numbers in their ratio."""
    # static, though it might be tuned: times a step it must be exactly 1 in a ResNet
    epsilon: float = eqx.field(static=True)
    """Time length of the block."""
    state_mode: str = eqx.field(static=True)
    """How the running state depends on depth."""
    checkpoint: bool = eqx.field(static=True)
    """Whether steps are computed again in the backward pass."""
    adjoint: str = eqx.field(static=True)
    """Which gradient is taken."""
    trained: int = eqx.field(static=True)
    """Largest number of coefficients that was trained."""
    recorded: tuple[str, tuple[int, ...]] | None = eqx.field(static=True, default=None)
    """Scheme and steps whose stages have a state (mode `"stages"`); None: its own."""

    def __init__(
        self,
        unit: Any,
        basis: str | AbstractBasis = "piecewise_constant",
        n_basis: SupportsIndex | None = None,
        scheme: str = "euler",
        n_steps: Steps | None = None,
        epsilon: float | None = None,
        *,
        init: str = "independent",
        state_mode: str = "nodes",
        checkpoint: bool = False,
        adjoint: str = "discrete",
        key: PRNGKeyArray | None = None,
    ) -> None:
        found = make_basis(basis, n_basis)
        if isinstance(basis, str) and isinstance(found, Evolved) and key is not None:
            found = found.redraw(jax.random.fold_in(key, found.n_basis))
        self.basis = found
        self.unit = found.start(_drawn(unit, found.n_basis, init, key))
        self.scheme = tableau(scheme).name
        if n_steps is None:  # where cells are unequal, equal steps may miss one
            even = len(set(found.cells)) == 1
            self.steps = (1,) * found.n_basis if even else found.regions().cells
        else:
            self.steps = lengths(n_steps, "n_steps")
        self.epsilon = float(len(self.steps) if epsilon is None else epsilon)
        positive("OdeBlock", epsilon=self.epsilon)
        self.state_mode, self.checkpoint, self.adjoint = state_mode, checkpoint, adjoint
        self.trained, self.recorded = found.n_basis, None
        choice("state_mode", state_mode, get_args(StateMode), "OdeBlock")
        choice("adjoint", adjoint, get_args(Adjoint), "OdeBlock")

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return len(self.steps)

    def places(self) -> tuple[tuple[Place, ...], ...]:
        """Where the stages lie, `[step][stage]`."""
        return stage_places(tableau(self.scheme).c, self.steps)

    def visits(self, places: Sequence[Sequence[Place]]) -> Visits:
        """Which entries of the state stages at these places read and write."""
        return visits(self.basis, self.state_mode, places, self._kept())

    def _kept(self) -> tuple[tuple[Place, ...], ...]:
        """The stages that have an entry of their own in the mode `"stages"`."""
        scheme, steps = self.recorded or (self.scheme, self.steps)
        return stage_places(tableau(scheme).c, steps)

    def factors(self) -> list[float]:
        """Epsilon times the length of each step, rounded once."""
        total = sum(self.steps)
        return [float(Fraction(self.epsilon) * Fraction(v, total)) for v in self.steps]

    def __call__(self, x: Array, state: Any = None) -> tuple[Array, Any]:
        """The output at t = 1, and the next state."""
        if self.adjoint == "continuous":
            if state is not None:
                raise ConfigError(
                    'adjoint "continuous" needs a unit without state: backwards the '
                    "stages would see other statistics. Use group or layer norm."
                )
            return continuous_adjoint(self, x), None
        x, state, _ = self.solve(x, state)
        return x, state

    def path(self, x: Array, state: Any = None) -> Array:
        """The input and x after each step, `"node ..."`."""
        return jnp.concatenate([x[None], self.solve(x, state)[2]])

    def solve(self, x: Array, state: Any = None) -> tuple[Array, Any, Array]:
        """Output, next state, and x after each step."""
        if not jnp.issubdtype(x.dtype, jnp.inexact):
            raise DataError(
                f"a block was given numbers of the type {x.dtype}; those that it moves "
                "have fractions. Give x.astype(float)."
            )
        plan = _Plan.of(self, state)
        step = jax.checkpoint(plan.step) if self.checkpoint else plan.step
        carry = (x, None if self.state_mode == "projected" else state)
        if self._written_out():
            outs = []
            for k in range(self.n_steps):
                carry, out = step(carry, jax.tree.map(lambda v, k=k: v[k], plan.inputs))
                outs.append(out)
            after, records = jax.tree.map(lambda *v: jnp.stack(v), *outs)
        else:
            carry, (after, records) = jax.lax.scan(
                step, carry, plan.inputs, length=self.n_steps
            )
        x, new = carry
        if state is None or _frozen(self.unit):
            return x, state, after
        if self.state_mode == "projected":
            flat = jax.tree.map(lambda v: v.reshape(-1, *v.shape[2:]), records)
            new = fitted(state, flat, plan.visits)
            if left := unseen(plan.visits):
                warnings.warn(
                    f"{left} of {self.basis.n_basis} coefficients of the running "
                    f"statistics are seen by no stage of {self.n_steps} steps of "
                    f"{self.scheme}, or next to none: they stay as they were. Take "
                    "more steps, or fewer coefficients.",
                    FitWarning,
                    stacklevel=2,
                )
        return x, new, after

    def _written_out(self) -> bool:
        """Whether the loop over steps is unrolled: convolutions within a loop are
        fifty times slower on a CPU (see `nn.convolve`), and on a GPU the backward pass
        of one keeps copies."""
        kinds = (Convolution, eqx.nn.Conv)
        is_one = lambda node: isinstance(node, kinds)
        return any(map(is_one, jax.tree.leaves(self.unit, is_leaf=is_one)))

    def initial_state(self, of_unit: Any = None) -> Any:
        """The unit's first state (its own, or `of_unit`) at every node."""
        if of_unit is None and hasattr(self.unit, "initial_state"):
            one = jax.tree.map(lambda v: v[0] if eqx.is_array(v) else v, self.unit)
            of_unit = one.initial_state()
        return repeated(of_unit, self._entries())

    def check_state(self, state: Any) -> None:
        """**Raises:** `ShapeError` for a state that is not one of this block's."""
        check_fits(state, self._entries())

    def _entries(self) -> int:
        """Number of entries of a state in depth."""
        stages = self.state_mode == "stages"
        return sum(map(len, self._kept())) if stages else self.basis.n_basis

    def manifest(
        self,
        scheme: str | None = None,
        n_steps: Steps | None = None,
    ) -> OdeBlock:
        """The same weights, evaluated by another scheme or in other steps."""
        rule = self.scheme if scheme is None else tableau(scheme).name
        steps = self.steps if n_steps is None else lengths(n_steps, "n_steps")
        return self.solved(rule, steps)

    def solved(self, scheme: str, steps: tuple[int, ...]) -> OdeBlock:
        """The block in a scheme and steps of these whole lengths; a state for each
        stage stays that of the stages it was recorded at."""
        now = (scheme, steps)
        kept = self.recorded or (self.scheme, self.steps)
        stays = self.state_mode == "stages" and kept != now
        return changed(
            self, scheme=scheme, steps=steps, recorded=kept if stays else None
        )

    def with_state_mode(self, mode: str) -> OdeBlock:
        """The same block, its running state kept in another way: `carry_state` makes
        one for `"stages"`; for the others begin with `initial_state` and recalibrate.
        """
        choice("state_mode", mode, get_args(StateMode), "OdeBlock")
        return changed(self, state_mode=mode, recorded=None)

    def project(
        self, basis: str | AbstractBasis, n_basis: SupportsIndex | None = None
    ) -> Any:
        """The nearest function of another basis in place of theta(t)."""
        return self._rebased(make_basis(basis, n_basis), project)

    def interpolate(
        self, basis: str | AbstractBasis, n_basis: SupportsIndex | None = None
    ) -> Any:
        """theta(t) taken at the sites of another basis: cheaper than `project`."""
        return self._rebased(make_basis(basis, n_basis), interpolate)

    def refine(
        self,
        *,
        steps: bool = False,
        noise: float = 0.0,
        key: PRNGKeyArray | None = None,
    ) -> OdeBlock:
        """The same function on a finer basis (for constants: each node twice).

        **Arguments:** `steps`: cut each step in two as well; `noise`: standard
        deviation of a factor 1 + noise z on each new coefficient, with `key`.
        **Raises:** `ConfigError` for a noise that cannot be, or has no key.
        """
        not_negative("refine", noise=noise)
        arrays, rest = eqx.partition(self.unit, eqx.is_inexact_array)
        basis, arrays = self.basis.refine(arrays)
        if noise:
            if key is None:
                raise ConfigError("refine with noise needs a key.")
            leaves, tree = jax.tree.flatten(arrays)
            keys = jax.random.split(key, len(leaves))
            arrays = jax.tree.unflatten(
                tree,
                [
                    v * (1.0 + noise * jax.random.normal(k, v.shape, v.dtype))
                    for v, k in zip(leaves, keys, strict=True)
                ],
            )
        _warn_if_far(basis.n_basis, self.trained)
        new = changed(self, unit=eqx.combine(arrays, rest), basis=basis)
        halves = [v for length in self.steps for v in (length, length)]
        return changed(new, steps=tuple(halves), recorded=None) if steps else new

    def cut(self, cells: Sequence[int]) -> OdeBlock:
        """The same function on a basis some of whose cells are cut in two.

        **Raises:** `ConfigError` for cells that the basis has not.
        """
        if not isinstance(self.basis, AbstractLinearBasis):
            raise ConfigError(
                f'basis "{self.basis.name}" has no cells to cut. Project it first.'
            )
        arrays, rest = eqx.partition(self.unit, eqx.is_inexact_array)
        basis, arrays = self.basis.cut(arrays, cells)
        return changed(self, unit=eqx.combine(arrays, rest), basis=basis)

    def as_trained(self) -> OdeBlock:
        """The block, its present number of coefficients counting as trained."""
        return changed(self, trained=max(self.trained, self.basis.n_basis))

    def carry_state(self, old: OdeBlock, state: Any) -> Any:
        """The state of `old`, of which this block was made, on this block's basis.

        **Raises:** `ConfigError` for a state of unknown kind; `ShapeError` for one
        that is not of `old`.
        """
        old.check_state(state)
        if self.state_mode == "stages":
            return None if state is None else gathered(state, old.visits(self._kept()))
        if old.state_mode != self.state_mode:
            raise ConfigError(
                f'a state in the mode "{old.state_mode}" says nothing in the mode '
                f'"{self.state_mode}". Begin with initial_state, and recalibrate it.'
            )
        if old.basis == self.basis:
            return state
        return carried(state, self.state_mode, old.basis, self.basis, "carry_state")

    def _rebased(self, new: AbstractBasis, how: Any) -> OdeBlock:
        if not isinstance(new, AbstractLinearBasis):
            raise ConfigError(
                f'theta(t) cannot be projected onto "{new.name}": its values are not '
                "linear in the coefficients. Choose another basis."
            )
        arrays, rest = eqx.partition(self.unit, eqx.is_inexact_array)
        unit = eqx.combine(how(arrays, self.basis, new), rest)
        _warn_if_far(new.n_basis, self.trained)
        return changed(self, unit=unit, basis=new)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """One pass over a block: the inputs of each step, and the step."""

    step: Any
    inputs: Any
    visits: Any

    @staticmethod
    def of(block: OdeBlock, state: Any) -> _Plan:
        block.check_state(state)
        rule, places = tableau(block.scheme), block.places()
        arrays, rest = eqx.partition(block.unit, eqx.is_inexact_array)
        columns, weights = _columns(block.basis, arrays, places)
        factors = block.factors()
        even = len(set(factors)) == 1
        # a scan over steps of several lengths carries them; equal ones are a number
        lengths_in = None if even else factors
        found = block.visits(places) if state is not None else None
        where = None
        if found is not None:
            where = found.node if found.rows is None else found.rows
        entries = block.state_mode != "projected"

        def step(carry: Any, inputs: Any) -> Any:
            x, all_states = carry
            theta, length, at = inputs
            h = factors[0] if even else length
            records = []

            def rate(j: int, y: Array) -> Array:
                nonlocal all_states
                unit = eqx.combine(theta[columns[j]], rest)
                if state is None:
                    r, _ = unit(y, None)
                elif entries:
                    r, new = unit(y, read_node(all_states, at[j]))
                    all_states = write_node(all_states, at[j], new)
                else:
                    r, new = unit(y, read_row(state, at[j]))
                    records.append(new)
                if r.shape != y.shape:
                    raise ShapeError(
                        f"the unit turned an input of shape {y.shape} into "
                        f"{r.shape}; within a block the shape must stay. Change "
                        "width or resolution in a stitch, between blocks."
                    )
                return r.astype(y.dtype)  # as the shape, the precision stays

            x, _ = explicit_step(rate, rule, x, h)
            kept = jax.tree.map(lambda *v: jnp.stack(v), *records) if records else None
            return (x, all_states), (x, kept)

        dtype = jax.tree.leaves(arrays)[0].dtype if jax.tree.leaves(arrays) else float
        length = None if lengths_in is None else jnp.asarray(lengths_in, dtype)
        return _Plan(step, (weights, length, where), found)


def _columns(basis: AbstractBasis, arrays: Any, places: Any) -> tuple[list[int], Any]:
    """Weights of all steps for the stages that need their own, and for each stage
    which of them it takes: on constants all stages of a step share one."""
    seen: dict[Any, int] = {}
    columns, weights = [], []
    for j in range(len(places[0])):
        mine = [row[j] for row in places]
        linear = isinstance(basis, AbstractLinearBasis)
        mark = basis.matrix(mine).tobytes() if linear else tuple(p.t for p in mine)
        if mark not in seen:
            seen[mark] = len(weights)
            weights.append(basis.values(arrays, mine))
        columns.append(seen[mark])
    return columns, tuple(weights)


def changed(module: Any, **fields: Any) -> Any:
    """A module with some fields replaced, static ones too."""
    new = object.__new__(type(module))
    for field in dataclasses.fields(module):
        value = fields.get(field.name, getattr(module, field.name))
        object.__setattr__(new, field.name, value)
    return new


def _frozen(unit: Any) -> bool:
    """Whether all norms of a unit are in inference mode."""
    flags: list[bool] = []

    def look(node: Any) -> bool:
        if isinstance(getattr(node, "inference", None), bool):
            flags.append(node.inference)
        return False

    jax.tree.flatten(unit, is_leaf=look)
    return bool(flags) and all(flags)


def _drawn(unit: Any, number: int, init: str, key: PRNGKeyArray | None) -> Any:
    """The unit's arrays with a leading axis of nodes."""
    choice("init", init, get_args(Init), "OdeBlock")
    if init == "independent" and number > 1:
        if not hasattr(unit, "redraw") or key is None:
            raise ConfigError(
                'OdeBlock: init "independent" draws the unit anew for each '
                "coefficient: it needs a key, and a unit with redraw(key). Give them, "
                'or init="shared".'
            )
        keys = jax.random.split(key, number)
        return jax.tree.map(
            lambda *v: jnp.stack(v) if eqx.is_inexact_array(v[0]) else v[0],
            *[unit.redraw(k) for k in keys],
        )
    arrays, rest = eqx.partition(unit, eqx.is_inexact_array)
    return eqx.combine(repeated(arrays, number), rest)


def _warn_if_far(now: int, trained: int) -> None:
    if now > 4 * trained:
        warnings.warn(
            f"{now} coefficients, more than four times the {trained} that were "
            "trained: without more training they say nothing new. Train in between "
            "(as_trained says that it was done).",
            FitWarning,
            stacklevel=3,
        )
