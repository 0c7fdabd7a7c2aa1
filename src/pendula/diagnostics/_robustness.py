"""How much of a model is left when its inputs are disturbed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike

from .._checks import whole
from .._errors import ConfigError, DataError, ShapeError
from ._corruptions import AbstractCorruption, corruption


Score = Callable[[Any, Any], Float[Array, ""]]


def correct(logits: Float[Array, " class"], label: Int[Array, ""]) -> Array:
    """1 where the largest logit is the label's, else 0: its mean is the accuracy."""
    # argmax takes NaN for the largest: a model that broke down would be right at times
    right = (jnp.argmax(logits) == label) & ~jnp.isnan(logits).any()
    return right.astype(logits.dtype)


def cross_entropy(logits: Float[Array, " class"], label: Int[Array, ""]) -> Array:
    """Minus the log of the label's probability, the loss that attacks climb."""
    return jax.nn.logsumexp(logits) - logits[label]


def squared_error(output: Float[Array, "*out"], target: Float[Array, "*out"]) -> Array:
    """Mean of the squared differences: the score, and the loss that attacks climb, of
    a model whose targets are values."""
    return jnp.mean((output - target.reshape(output.shape)) ** 2)


@dataclasses.dataclass(frozen=True)
class Robustness:
    """Scores under one kind of corruption.

    **Shapes and units:** `levels` `"level"`; `scores` `"level seed"`, each the mean
    over the samples (accuracy unless another score was given).
    """

    kind: str
    levels: np.ndarray
    scores: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean over the seeds, `"level"`."""
        return self.scores.mean(axis=1)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation over the seeds, `"level"`; of one draw, 0."""
        ddof = 1 if self.scores.shape[1] > 1 else 0
        return self.scores.std(axis=1, ddof=ddof)

    @property
    def area(self) -> float:
        """Area under the curve of the mean over the level, divided by its range: the
        mean score over the range; of a single level its score."""
        order = np.argsort(self.levels)
        levels, mean = self.levels[order], self.mean[order]
        if levels[0] == levels[-1]:
            return float(mean.mean())
        return float(np.trapezoid(mean, levels) / (levels[-1] - levels[0]))


def robustness(
    logits: Callable[[Array], Array],
    x: ArrayLike,
    y: ArrayLike,
    kinds: Mapping[str, float | Sequence[float] | np.ndarray],
    *,
    using: Sequence[AbstractCorruption] = (),
    seeds: int = 5,
    score: Score | None = None,
    clip: tuple[float, float] | None = None,
    batch: int = 256,
) -> dict[str, Robustness]:
    r"""Scores of a model whose inputs are disturbed, the model left alone: its response
    to noise.

    **Arguments:**
    - `logits`: one input `"*input"` to `"class"`, any callable; what scales inputs
      belongs into it, so that levels are in the units of `x` (pixels in [0, 1]).
    - `x` `"sample *input"`; `y` `"sample"` labels (whole numbers), or values `"sample
      *out"` of a model that gives such.
    - `kinds`: name of a corruption -> its levels, such as `{"white": (0, 0.1, 0.2),
      "fgsm": 0.02}`.
    - `using`: corruptions that are to stand for their names in `kinds` (own ones, or
      with other settings than the defaults).
    - `seeds`: draws of a random corruption; an attack draws nothing and has one.
    - `score`: of one sample, averaged; default the accuracy for labels, else the
      squared error. Attacks climb the cross-entropy, or the squared error.
    - `clip`: disturbed inputs are cut to this range; default: they are not.
    - `batch`: samples at a time.

    **Returns:** kind -> `Robustness`.
    **Raises:** `ConfigError` for an unknown kind, no level, or one that cannot be;
    `ShapeError` for labels or outputs that do not fit, `DataError` for a label that is
    none of the model's classes, or an input that is not finite.
    **Behaviour:** the draws depend on seed and sample alone, so that two models see
    the same noise.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.diagnostics import robustness
    >>> logits = lambda x: jnp.array([0.0, 1.0]) * x  # class 1 where x > 0
    >>> x = jnp.array([-1.0, 0.1, 1.0])
    >>> found = robustness(logits, x, [0, 1, 1], {"fgsm": (0.0, 0.2)})
    >>> [round(float(v), 3) for v in found["fgsm"].mean]
    [1.0, 0.667]

    ```
    """
    inputs, labels = jnp.asarray(x), jnp.asarray(y)
    if labels.dtype == bool:  # which JAX would take for a mask
        labels = labels.astype(jnp.int32)
    if not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise ShapeError(
            f"inputs are {inputs.dtype}; disturbed ones need floating numbers. Scale "
            "pixels to [0, 1]."
        )
    named = not jnp.issubdtype(labels.dtype, jnp.floating)
    fits = labels.ndim == 1 if named else labels.ndim >= 1
    if not fits or not inputs.ndim or not len(labels) == len(inputs) > 0:
        raise ShapeError(
            f"inputs {inputs.shape} and labels {labels.shape} do not fit; expected "
            "(sample, ...) and (sample,), or (sample, ...) of values, and a sample."
        )
    for name, given in (("input", inputs), ("value of y", labels)):
        bad = np.argwhere(~np.isfinite(np.asarray(given)))
        if len(bad):
            raise DataError(
                f"the {name} at {tuple(bad[0].tolist())} (sample first) is not finite. "
                "Fill or cut what is missing."
            )
    whole(1, seeds=seeds, batch=batch)
    if clip is not None and not (np.shape(clip) == (2,) and clip[0] < clip[1]):
        raise ConfigError(
            f"clip is {clip}; it must be two numbers, the first below the second."
        )
    if score is None:
        given = eqx.filter_eval_shape(lambda f, x: f(x), logits, inputs[0])
        _check_outputs(given.shape, labels, named)
    own = {one.name: one for one in using}
    if idle := sorted(set(own) - set(kinds)):
        raise ConfigError(
            f'using has "{idle[0]}", which kinds does not ask for. Give its levels in '
            "kinds, or leave it out."
        )
    chosen = {name: own.get(name) or corruption(name) for name in kinds}
    usual, climbed = (correct, cross_entropy) if named else (squared_error,) * 2
    measure = _measure(score or usual, climbed, clip, batch)
    out = {}
    for name, levels in kinds.items():
        change, known = chosen[name], _levels(name, levels, chosen[name].most)
        count = seeds if change.random else 1
        scores = [
            [
                measure(logits, change, inputs, labels, _number(level), k)
                for k in jax.random.split(jax.random.key(0), count)
            ]
            for level in known
        ]
        out[name] = Robustness(name, known, np.asarray(scores))
    return out


def _levels(name: str, given: Any, most: float) -> np.ndarray:
    """Strengths of one kind, `"level"`, each of them possible."""
    levels = np.atleast_1d(np.asarray(given, float))
    good = np.isfinite(levels) & (levels >= 0) & (levels <= most)
    if levels.ndim > 1 or not levels.size or not good.all():
        limit = f"or above {most:g}" if most < np.inf else "or not finite"
        raise ConfigError(
            f"levels of {name} are {given}; one number or several are needed, and none "
            f"below 0 {limit}."
        )
    return levels


def _check_outputs(shape: tuple[int, ...], y: Array, named: bool) -> None:
    """What a model gives for one sample, beside the label or the values it should."""
    if named:
        if len(shape) != 1:
            raise ShapeError(
                f"the model gives {shape} of a sample; labels need one number a class."
            )
        bad = np.flatnonzero((np.asarray(y) < 0) | (np.asarray(y) >= shape[0]))
        if len(bad):
            raise DataError(
                f"label {y[bad[0]]} of sample {bad[0]}: labels count from 0 and must "
                f"be below {shape[0]}, the classes of the model."
            )
    elif math.prod(shape) != math.prod(y.shape[1:]):
        raise ShapeError(
            f"the model gives {shape} of a sample and the values are {y.shape[1:]}. "
            "Give labels as whole numbers."
        )


def _number(level: float) -> Array:
    """A strong type, so that levels share one program."""
    return jnp.asarray(level, jnp.result_type(float))


def _measure(
    score: Score, climbed: Score, clip: tuple[float, float] | None, batch: int
) -> Callable[..., float]:
    """One program for all levels and seeds of a kind."""

    @eqx.filter_jit
    def measure(
        logits: Callable[[Array], Array],
        change: AbstractCorruption,
        x: Array,
        y: Array,
        index: Array,
        level: Array,
        key: Array,
    ) -> Array:
        def one(sample: tuple[Array, Array, Array]) -> Array:
            x, y, k = sample
            slope = jax.grad(lambda x: climbed(logits(x), y))
            disturbed = change(x, level.astype(x.dtype), slope, k)
            if clip is not None:
                disturbed = jnp.clip(disturbed, *clip)
            return score(logits(disturbed), y)

        keys = jax.vmap(lambda k: jax.random.fold_in(key, k))(index)
        return jnp.sum(jax.vmap(one)((x, y, keys)))

    def over_all(
        logits: Any, change: AbstractCorruption, x: Array, y: Array, *rest: Any
    ) -> float:
        # a loop of Python's: convolutions in a compiled one are slow on a CPU
        total, index = 0.0, jnp.arange(len(y))
        for start in range(0, len(y), batch):
            cut = slice(start, start + batch)
            total += float(measure(logits, change, x[cut], y[cut], index[cut], *rest))
        return total / len(y)

    return over_all
