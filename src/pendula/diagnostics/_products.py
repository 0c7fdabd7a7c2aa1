"""The machine below the operators of curvature: products, compiled once."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from .._errors import ConfigError, DataError, ShapeError
from .._precision import cast, exact_products, precision
from .._tree import trainable
from ._batches import Batches


@dataclasses.dataclass(frozen=True)
class Unravel:
    """A flat vector back to the pytree; equal for equal structures, so that a second
    operator of the same loss finds its program compiled."""

    structure: Any
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, tree: Any) -> Unravel:
        """From a pytree of arrays."""
        leaves, structure = jax.tree.flatten(tree)
        return cls(structure, tuple(x.shape for x in leaves))

    def __call__(self, flat: Any) -> Any:
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])
        parts = jnp.split(flat, ends[:-1].tolist())
        made = [x.reshape(s) for x, s in zip(parts, self.shapes, strict=True)]
        return jax.tree.unflatten(self.structure, made)


class HessianTerm(eqx.Module):
    """Loss and linearised gradient of one batch at a flat vector."""

    function: Any
    rest: Any
    unravel: Unravel = eqx.field(static=True)

    def value(self, flat: Array, batch: Any) -> Any:
        """The loss of one batch."""
        return self.function(eqx.combine(self.unravel(flat), self.rest), batch)

    def linear(self, flat: Array, batch: Any) -> tuple[Array, Array, Any]:
        """Value, gradient, and the product as a linear function."""

        def slope(flat: Array) -> tuple[Array, Array]:
            value, slope = jax.value_and_grad(self.value)(flat, batch)
            return slope, value

        found: Any = jax.linearize(slope, flat, has_aux=True)
        slope_here, product, value = found
        return value, slope_here, product


class GaussNewtonTerm(eqx.Module):
    """Loss, gradient and J' l'' J of one batch at a flat vector."""

    function: tuple[Any, Any]
    rest: Any
    unravel: Unravel = eqx.field(static=True)

    def outputs(self, flat: Array, batch: Any) -> Any:
        """The outputs of one batch."""
        return self.function[0](eqx.combine(self.unravel(flat), self.rest), batch)

    def value(self, flat: Array, batch: Any) -> Any:
        """The loss of one batch."""
        return self.function[1](self.outputs(flat, batch), batch)

    def linear(self, flat: Array, batch: Any) -> tuple[Array, Array, Any]:
        """Value, gradient, and the product as a linear function."""

        def outputs(flat: Array) -> Any:
            return eqx.partition(self.outputs(flat, batch), eqx.is_inexact_array)

        told: Any = jax.linearize(outputs, flat, has_aux=True)
        z, push, rest = told
        pull = jax.linear_transpose(push, flat)
        loss = lambda z: self.function[1](eqx.combine(z, rest), batch)

        def slope_of(z: Any) -> tuple[Any, Array]:
            value, slope = jax.value_and_grad(loss)(z)
            return slope, value

        found: Any = jax.linearize(slope_of, z, has_aux=True)
        slope, bend, value = found
        return value, pull(slope)[0], lambda v: pull(bend(push(v)))[0]


class _Product(eqx.Module):
    """Products that pass all batches anew."""

    term: Any
    flat: Array
    batches: Batches

    def __call__(self, v: Array) -> Array:
        return self.batches.mean(lambda b: self.term.linear(self.flat, b)[2](v))


class _OneProduct(eqx.Module):
    """The product over one batch, given by its arrays."""

    term: Any
    flat: Array
    still: Any

    def __call__(self, v: Array, arrays: Any) -> Array:
        batch = eqx.combine(arrays, self.still)
        return self.term.linear(self.flat, batch)[2](v)


class _Value(eqx.Module):
    """The loss over all batches."""

    term: Any
    batches: Batches

    def __call__(self, flat: Array) -> Array:
        return self.batches.mean(lambda b: self.term.value(flat, b))


@dataclasses.dataclass(frozen=True)
class Form:
    """What is left of a callable pytree without its arrays. Calls go through
    `jax.jit` with the form static and a plain list of arrays: the dispatch of
    `equinox.filter_jit` takes a fifth of the time of a small network's product."""

    structure: Any
    others: tuple[Any, ...]

    @classmethod
    def of(cls, function: Any) -> tuple[Form, list[Any]]:
        """The form of a callable pytree, and its arrays."""
        leaves, structure = jax.tree.flatten(function)
        others = tuple(None if eqx.is_array(x) else x for x in leaves)
        form = cls(structure, others)
        try:
            hash(form)
        except TypeError as error:
            raise ConfigError(
                f"what is no array in the loss, the parameters or the data has to be "
                f"hashable ({error}): compiled programs are told apart by it. Make it "
                "a tuple or a frozen dataclass, or let the loss be a function."
            ) from None
        return form, [x for x in leaves if eqx.is_array(x)]

    def join(self, arrays: list[Any]) -> Any:
        """The callable with its arrays in place."""
        left = iter(arrays)
        leaves = [next(left) if x is None else x for x in self.others]
        return jax.tree.unflatten(self.structure, leaves)


@functools.partial(jax.jit, static_argnums=0)
def _apply(form: Form, arrays: list[Any], *told: Any) -> Array:
    """The product of one vector, over one batch where its arrays are told too."""
    return form.join(arrays)(*told)


@eqx.filter_jit
def _linearise(term: Any, flat: Array, batch: Any) -> tuple[Any, Any, Form, Any]:
    """Value, gradient, and the linear map with all that it needs of the network."""
    value, slope, product = term.linear(flat, batch)
    form, arrays = Form.of(eqx.filter_closure_convert(product, flat))
    return value, slope, form, arrays


@eqx.filter_jit
def _slope(term: Any, flat: Array, batches: Batches) -> tuple[Array, Array]:
    """Value and gradient over all batches."""
    return batches.mean(lambda b: term.linear(flat, b)[:2])


@eqx.filter_jit
def _slope_of_one(term: Any, flat: Array, batch: Any) -> tuple[Array, Array]:
    """Value and gradient over one batch."""
    return term.linear(flat, batch)[:2]


class Products:
    """Products with the curvature of one term (`kind(function, rest, unravel)`) at
    given parameters over a data set; nothing is compiled before the first one."""

    def __init__(
        self,
        kind: Any,
        function: Any,
        params: Any,
        data: Any,
        batch_size: int | None,
        dtype: Any,
        where: Any,
    ) -> None:
        chosen, rest = choose(params, where)
        self.dtype = _dtype(chosen, dtype)
        with exact_products(self.dtype):
            chosen, rest, data = cast((chosen, rest, data), self.dtype)
            self.slices, self._unravel = _slices(chosen), Unravel.of(chosen)
            leaves = [np.ravel(x) for x in jax.tree.leaves(chosen)]
            self.flat = np.concatenate(leaves)
            self.flat.flags.writeable = False  # programs hold what it was
            self.size = self.flat.size
            self._term = kind(function, rest, self._unravel)
            flat = jnp.asarray(self.flat)
            batches = Batches.of(data, batch_size)
            Form.of((self._term, batches))
            found = convolves(_checked(self._term, flat, batches.first))
            # slopes of convolutions are many times slower in a compiled loop on a CPU
            self._batches, self._apart = batches, found and not batches.single

    @functools.cached_property
    def prepared(self) -> tuple[float, np.ndarray, Form, list[Any]]:
        """Value, gradient and the product's form, compiled once."""
        with exact_products(self.dtype), _forward_mode():
            value, slope, form, arrays = self._prepare(jnp.asarray(self.flat))
            slope = np.asarray(slope)
        self._check_finite(slope, float(value))
        return float(value), slope, form, arrays

    def _prepare(self, flat: Array) -> tuple[Any, Any, Form, list[Any]]:
        batches, term = self._batches, self._term
        if batches.single:
            return _linearise(term, flat, batches.first)
        if not self._apart:
            value, slope = _slope(term, flat, batches)
            return value, slope, *Form.of(_Product(term, flat, batches))
        one = lambda arrays: _slope_of_one(term, flat, batches.joined(arrays))
        value, slope = batches.on_host(one)
        return value, slope, *Form.of(_OneProduct(term, flat, batches.still))

    def _check_finite(self, slope: np.ndarray, value: float) -> None:
        bad = [
            name for name, at in self.slices.items() if not np.isfinite(slope[at]).all()
        ]
        if bad:
            raise DataError(
                f'the gradient of the loss is not finite at "{bad[0]}" '
                f"({len(bad)} of {len(self.slices)} arrays; the loss is {value:g}): "
                "there is no curvature. Look for NaN in data and parameters, or for "
                "a root or a logarithm at 0 in the loss."
            )
        if not np.isfinite(value):
            raise DataError(
                f"the loss is {value:g} although its gradient is finite. Look for NaN "
                "in what does not depend on the parameters, or for an overflow."
            )

    def __call__(self, v: ArrayLike) -> np.ndarray:
        """The product with a vector `"n"`, NumPy in `dtype`.

        **Raises:** `ShapeError`; `DataError` where the product is not finite.
        """
        v = self._vector(v)
        if not np.isfinite(v).all():
            raise DataError(
                f"entry {np.flatnonzero(~np.isfinite(v))[0]} of the vector is not "
                "finite: it has no product."
            )
        _, _, form, arrays = self.prepared
        with exact_products(self.dtype), _forward_mode():
            if self._apart:
                one = lambda batch: _apply(form, arrays, v, batch)
                out = self._batches.on_host(one)
            else:
                out = _apply(form, arrays, v)
            out = np.asarray(out)
        if not np.isfinite(out).all():
            raise DataError(
                "the product with the Hessian is not finite although the gradient is: "
                "the loss has no second derivative there. Look for roots, norms or "
                "absolute values at 0."
            )
        return out

    def _vector(self, v: ArrayLike) -> np.ndarray:
        v = np.asarray(v, self.dtype)
        if v.shape != (self.size,):
            raise ShapeError(
                f"the vector has shape {v.shape}; expected ({self.size},), one entry "
                "for each parameter. Flatten a pytree with jax.flatten_util."
            )
        return v

    def tree(self, v: ArrayLike) -> Any:
        """A flat vector as the pytree of the chosen arrays."""
        with precision(self.dtype):
            made = self._unravel(jnp.asarray(self._vector(v)))
            return jax.tree.map(np.asarray, made)

    @property
    def place(self) -> np.ndarray:
        """The parameters that products are taken at, `"n"`."""
        return self.flat

    def steps(self, change: np.ndarray) -> np.ndarray:
        """Changes of the parameters `"d n"` as vectors."""
        return change

    def surface(self) -> tuple[Form, list[Any]]:
        """The loss of a flat vector as form and arrays."""
        return Form.of(_Value(self._term, self._batches))


class _Shifted(eqx.Module):
    """A loss by u, where w = flat + scale u."""

    loss: Any
    flat: Any
    scale: Any

    def __call__(self, u: Array) -> Array:
        return self.loss(self.flat + self.scale * u)


class ScaledProducts:
    """The machine of another operator with each parameter in a unit of its own, zero
    at that operator's place."""

    def __init__(self, op: Any, scale: np.ndarray) -> None:
        self._op, self.scale = op, scale.copy()
        self.dtype, self.size, self.slices = op.dtype, op.size, op.slices
        self.flat = np.zeros(op.size, op.dtype)
        self.flat.flags.writeable = self.scale.flags.writeable = False

    @property
    def place(self) -> np.ndarray:
        """The parameters that products are taken at, `"n"`, in their own units."""
        return self._op.place

    def steps(self, change: np.ndarray) -> np.ndarray:
        """Changes of the parameters `"d n"` as vectors; those that cannot move stay."""
        inner = self._op.steps(change)
        moves = self.scale > 0.0
        return np.where(moves, inner / np.where(moves, self.scale, 1.0), 0.0)

    @property
    def prepared(self) -> tuple[float, np.ndarray]:
        """Value and gradient."""
        return self._op.value, self.scale * self._op.gradient

    def __call__(self, v: ArrayLike) -> np.ndarray:
        """The product with a vector `"n"`."""
        v = np.asarray(v, self.dtype)  # another shape is refused by the operator
        return self.scale * self._op(self.scale * v if v.shape == (self.size,) else v)

    def tree(self, v: ArrayLike) -> Any:
        """A flat vector as the pytree of the chosen arrays."""
        return self._op.tree(v)

    def surface(self) -> tuple[Form, list[Any]]:
        """The loss of u as form and arrays."""
        form, arrays = self._op.surface()
        return Form.of(_Shifted(form.join(arrays), self._op.flat, self.scale))


def choose(params: Any, where: Any = None) -> tuple[Any, Any]:
    """(the arrays that count as parameters, the rest), in inference mode; of several
    `where` those that are in all of them."""
    params = in_inference(params)
    spec = jax.tree.map(
        lambda x: jax.tree.map(lambda _: False, x) if _is_state(x) else x,
        trainable(params),
        is_leaf=_is_state,
    )
    for one in where if isinstance(where, tuple) else (where,):
        if one is not None:
            spec = jax.tree.map(lambda a, b: a and b, spec, _part(one, spec))
    chosen, rest = eqx.partition(params, spec)
    if not sum(x.size for x in jax.tree.leaves(chosen)):
        raise ConfigError(
            "there are no parameters: "
            + ("params holds" if where is None else "the part that was chosen holds")
            + " no floating arrays that are trained. Give the model itself, not its "
            "configuration, its statistics or what is fixed in it."
        )
    return chosen, rest


def in_inference(params: Any) -> Any:
    """The layers with a mode put into inference mode. Equinox's own walk ends at a
    model whose flags were partitioned off; those are left to the loss."""

    def one(path: Any, leaf: Any) -> Any:
        field = getattr(path[-1], "name", "") if path else ""
        return True if field == "inference" else leaf

    return jax.tree_util.tree_map_with_path(one, params)


def _is_state(node: Any) -> bool:
    """Statistics of Equinox's layers; ours are `Fixed`."""
    return isinstance(node, eqx.nn.State | eqx.nn.StateIndex)


def _part(where: Any, spec: Any) -> Any:
    """Which leaves are below the nodes that `where` gives."""
    try:
        return eqx.tree_at(
            where,
            jax.tree.map(lambda _: False, spec),
            replace_fn=lambda node: jax.tree.map(lambda _: True, node),
        )
    except ValueError as error:
        raise ConfigError(
            "where gives something that is no node of the parameters, or None (a layer "
            "without a bias?). Give nodes that are there, as for equinox.tree_at."
        ) from error


def _dtype(chosen: Any, dtype: Any) -> np.dtype:
    """What products are computed in."""
    own = {np.dtype(x.dtype) for x in jax.tree.leaves(chosen)}
    allowed = (np.dtype(np.float32), np.dtype(np.float64))
    try:
        wanted = own if dtype is None else {np.dtype(dtype)}
    except TypeError:
        raise ConfigError(
            f"dtype {dtype!r} is unknown. Give np.float32 or np.float64."
        ) from None
    if not (own | wanted) <= set(allowed):
        raise ConfigError(
            f"the parameters are {', '.join(sorted(map(str, own)))}, dtype is "
            f"{dtype}; curvature is computed in float32 or float64. Cast the model, "
            "or leave out such arrays with where."
        )
    return max(wanted, key=lambda d: d.itemsize)


def _slices(chosen: Any) -> dict[str, slice]:
    """Path of each array -> its place in the flat vector."""
    out, begin = {}, 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(chosen):
        name = jax.tree_util.keystr(path).lstrip(".") or "params"
        out[name] = slice(begin, begin + leaf.size)
        begin += leaf.size
    return out


@contextlib.contextmanager
def _forward_mode() -> Iterator[None]:
    """Says what to do where a loss has no forward mode."""
    try:
        yield
    except TypeError as error:
        if "custom_vjp" not in str(error):
            raise
        raise ConfigError(
            "the loss has a backward pass of its own (custom_vjp), through which there "
            "is no product with its curvature. Take another way to the gradient: "
            'adjoint="discrete" of an OdeBlock.'
        ) from error


def _checked(term: Any, flat: Array, batch: Any) -> Any:
    """The loss as JAX's own program, before anything is compiled.

    **Raises:** `ShapeError` for one that is no scalar of floating type.
    """
    value = eqx.filter_make_jaxpr(lambda term, *told: term.value(*told))
    program, arrays, others = value(term, flat, batch)
    found = eqx.combine(arrays, others)
    if not isinstance(found, jax.ShapeDtypeStruct) or found.shape != ():
        text = getattr(found, "shape", type(found).__name__)
    elif not jnp.issubdtype(found.dtype, np.floating):
        text = f"a number of type {found.dtype}"
    else:
        return program.jaxpr
    raise ShapeError(
        f"the loss gives {text}; expected a scalar () of floating type, the mean over "
        "the batch. Take the mean, and leave out auxiliary outputs."
    )


def convolves(program: Any) -> bool:
    """Whether a program of JAX holds a convolution anywhere."""
    is_program = lambda x: hasattr(x, "eqns")
    for step in program.eqns:
        inner = jax.tree.leaves(dict(step.params), is_leaf=is_program)
        if step.primitive.name == "conv_general_dilated" or any(
            convolves(one) for one in inner if is_program(one)
        ):
            return True
    return False
