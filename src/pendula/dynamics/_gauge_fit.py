"""Fitting the neural gauge: affine start, small flow, leave-one-out choice."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from .._checks import fields_positive, fields_whole, not_negative, whole
from .._precision import cast, precision, to_host
from ..nn import MLP
from ..solve import rollout_steps
from ..train import (
    Step,
    TrainState,
    adam_cosine,
    gradient_step,
    init_opt,
    run,
)
from ._gauge import Gauge, GaugeFlow
from ._gauge_affine import affine_start, left_out
from ._gauge_intervals import moments, push
from ._gauge_labels import Calibration, calibration, check_enough_etas, notes


INNER = 100  # updates in one call of the step: small models wait for dispatch
COARSE = 4  # Runge-Kutta steps while training
FINEST = 64  # and at most afterwards
EXACT = 1e-4  # left-out error, in spreads, below which nothing is left to learn
SINGLE = 30  # systems up to which each is left out by itself
GROUPS = 10  # groups of systems left out together above that
TINY = 1e-16  # variance of the calibration that is taken at least


@dataclasses.dataclass(frozen=True)
class GaugeConfig:
    """How `fit_gauge` trains the neural part.

    **Raises:** `ConfigError` for numbers that make no sense.
    """

    neural: bool = True
    """Whether a neural part is tried at all."""
    width: int = 32
    """Neurons of each of its layers, >= 1."""
    depth: int = 2
    """Its hidden layers (tanh), >= 1."""
    kinetic: float = 1e-3
    """Factor on the mean kinetic energy of the flow, >= 0."""
    decay: float = 1e-4
    """Factor on the sum of squares of the weights, >= 0."""
    rest: float = 0.1
    """Weight of the further entries of z(1), which are to be 0, >= 0."""
    steps: int = 600
    """Updates of Adam, >= 1."""
    lr: float = 1e-2
    """Its first rate, > 0."""
    gain: float = 0.9
    """The neural part is kept when its mean square error on systems left out is below
    this share of the affine map's, > 0."""

    def __post_init__(self) -> None:
        fields_whole(self, width=1, depth=1, steps=1)
        fields_positive(self, "", "lr", "gain")
        not_negative(kinetic=self.kinetic, decay=self.decay, rest=self.rest)


def fit_gauge(
    etas: Any,
    params: Any,
    names: Sequence[str] = (),
    units: Sequence[str] = (),
    *,
    covariances: Any = None,
    log: bool | Sequence[bool] | None = None,
    fold: bool = False,
    config: GaugeConfig = GaugeConfig(),
    seed: int = 0,
) -> Gauge:
    r"""Calibrate the parameters that a family's model found against physical ones.

    $$ \min_\xi \frac1N \sum_i |z_i(1) - [\tilde\phi_i, 0]|^2
       + \lambda_k \int_0^1 |g_\xi(z_i)|^2 ds + \lambda_w |\xi|^2, \qquad
       \dot z = g_\xi(z), \quad z(0) = A \tilde\eta + b $$

    A and b are those of least squares and stay; the last layer of g starts at zero.
    Every system is left out once (with more than 30 systems: in 10 groups) and
    predicted by an affine map and by a flow that did not see it, all flows trained
    from the same start at once; the neural part stays where it predicts better.

    **Shapes and units:** `etas` `"system eta"`, `params` `"system param"` in `units`,
    `covariances` `"system eta eta"` of the etas or None. One row a system.
    **Arguments:**
    - `names`, `units` of the labels; default phi1, phi2, ... without unit.
    - `log`: which labels are taken on a log scale (their errors are relative ones);
      None: those that are positive in all systems.
    - `fold`: the model sees |eta|, so that signs mean nothing.
    - `config`: `GaugeConfig`; `seed`: of the weights.

    **Returns:** `Gauge`; what deserves a look is in its `summary()` and `warnings`.
    **Raises:** `DataError` for fewer than 3 systems, a label or an eta that is
    missing, labels that do not vary, a matrix that is no covariance; `ConfigError` for
    fewer etas than labels (and which combination of the labels the etas do tell);
    `ShapeError`.
    **Behaviour / good values:** a label that is the same everywhere is left out, with
    a `DataWarning`. 5 systems take about 5 s, 27 about 7 s on one core, 4 to 5 s of
    them to compile; nothing is compiled again for as many systems. Adam rather than
    Levenberg-Marquardt: for one flow of 1,200 weights and 20 systems the latter takes
    0.27 s a step, Adam 0.11 s for 600, and then the objective is as low as after 11
    steps of it.
    **Source:** Wang 2023, thesis, section 4.7; Finlay et al. 2020, arXiv:2002.02798
    (kinetic energy).

    ```python
    >>> import numpy as np
    >>> from pendula.dynamics import fit_gauge
    >>> k = np.random.default_rng(0).uniform(1.0, 3.0, (9, 2))
    >>> etas = np.log(k) @ np.array([[1.0, 0.5], [-0.3, 1.0]])
    >>> gauge = fit_gauge(etas, k, names=("k1", "k3"))
    >>> gauge.neural, bool(np.allclose(gauge(etas[0]), k[0]))
    (False, True)
    >>> gauge.measure(etas[0]).text.split(" = ")[0]
    'k1'

    ```
    """
    seed = whole(0, seed=seed)
    made = calibration(etas, params, names, units, covariances, log, fold)
    fold_of = _folds(len(made.etas), seed)
    check_enough_etas(made, fold_of)
    errors = left_out(made.scaled, made.goal, fold_of)
    affine = rms(errors)
    number = int(fold_of.max()) + 1
    parts = [np.flatnonzero(fold_of != k) for k in range(number)]
    parts.append(np.arange(len(fold_of)))
    starts = [affine_start(made.scaled[at], made.goal[at]) for at in parts]
    rows, offsets = (np.stack(x) for x in zip(*starts, strict=True))
    nets = neural = None
    if config.neural and affine.max() > EXACT:
        nets = _train(made, rows, offsets, fold_of, config, seed)
        flows = _flows(made, rows, offsets, nets, COARSE)
        found = _left_out(flows, made, fold_of)
        neural = rms(found)
        if np.sum(neural**2) < config.gain * np.sum(affine**2):
            errors = found
        else:
            nets = None
    flows = _refined(_flows(made, rows, offsets, nets, COARSE), made)
    return _gauge(made, flows, fold_of, errors, affine, neural, fold)


def rms(errors: np.ndarray) -> np.ndarray:
    """Root mean squares of the columns."""
    return np.sqrt(np.mean(errors**2, axis=0))


def _folds(count: int, seed: int) -> np.ndarray:
    """The group in which each system is left out."""
    if count <= SINGLE:
        return np.arange(count, dtype=np.int32)
    order = np.random.default_rng(seed).permutation(count)
    return (order % GROUPS).astype(np.int32)


def _flows(
    made: Calibration, rows: np.ndarray, offsets: np.ndarray, nets: Any, steps: int
) -> GaugeFlow:
    """The flow of each part of the systems; the last one saw all of them."""
    repeat = lambda x: np.repeat(x[None], len(rows), axis=0)
    return GaugeFlow(repeat(made.shift), repeat(made.width), rows, offsets, nets, steps)


def _pick(flows: GaugeFlow, index: Any) -> GaugeFlow:
    return jax.tree.map(lambda x: np.asarray(x[index]), flows)


@eqx.filter_jit
def _ends(flows: GaugeFlow, etas: Array) -> Array:
    """z(1) of all systems by each flow, and where the last one brings it back to."""
    apply = lambda flow: jax.vmap(flow.forward)(etas)
    return eqx.filter_vmap(apply, in_axes=(eqx.if_array(0),))(flows)


@eqx.filter_jit
def _there_and_back(flow: GaugeFlow, etas: Array) -> Array:
    return jax.vmap(lambda eta: flow.backward(flow.forward(eta)))(etas)


def _left_out(flows: GaugeFlow, made: Calibration, fold_of: np.ndarray) -> np.ndarray:
    """Errors on systems that a flow did not see."""
    with precision(np.float64):
        ends = np.asarray(_ends(flows, jnp.asarray(made.etas)))
    own = ends[fold_of, np.arange(len(fold_of))]
    return own[:, : made.goal.shape[1]] - made.goal


def _refined(flows: GaugeFlow, made: Calibration) -> GaugeFlow:
    """With steps so short that there and back ends where it began, to 1e-6."""
    if flows.net is None:
        return flows
    steps = 2 * flows.steps
    while True:
        flows = dataclasses.replace(flows, steps=steps)
        with precision(np.float64):
            back = _there_and_back(_pick(flows, -1), jnp.asarray(made.etas))
        off = np.abs((np.asarray(back) - made.etas) / made.width).max()
        if off < 1e-6 or steps >= FINEST:
            return flows
        steps *= 2


def _gauge(
    made: Calibration,
    flows: GaugeFlow,
    fold_of: np.ndarray,
    errors: np.ndarray,
    affine: np.ndarray,
    neural: np.ndarray | None,
    fold: bool,
) -> Gauge:
    """Put together, with the variance of the calibration and the scores."""
    square, number = np.mean(errors**2, axis=0), len(made.names)
    gauge = Gauge(
        _pick(flows, -1), _pick(flows, slice(-1)), fold_of, made.mean, made.scale,
        made.etas, made.labels, errors, np.maximum(square, TINY), np.zeros_like(errors),
        affine, neural, made.log, fold, made.names, made.units,
        notes(made, errors, fold_of),
    )  # fmt: skip
    pushed = np.zeros((len(fold_of), number))
    if made.covariances is not None:
        for i, (eta, known) in enumerate(zip(made.etas, made.covariances, strict=True)):
            pushed[i] = push(moments(gauge, eta)[1], known)[0]
    # what the covariances explain is not the calibration's; a tenth always is
    spread = np.maximum(square - pushed.mean(axis=0), np.maximum(0.1 * square, TINY))
    scores = np.abs(errors) / np.sqrt(spread + pushed)
    return dataclasses.replace(gauge, spread=spread, scores=scores)


def _loss(arrays: Any, told: tuple, key: Any) -> Array:
    """Mean square of the ends, kinetic energy and weights, of one flow; what is fixed
    differs between them, so it goes along among the arrays, without a gradient."""
    weights, fixed = arrays
    start, seen = jax.lax.stop_gradient(fixed)
    static, goal, parts, factors = told
    net = eqx.combine(weights, static)
    dts = jnp.full(COARSE, 1.0 / COARSE, start.dtype)

    def field(t: Any, y: Array, u: Any, context: Any) -> Array:
        moved = net(y[:-1])
        return jnp.concatenate([moved, jnp.sum(moved**2)[None]])

    def end(z: Array) -> Array:
        y = jnp.concatenate([z, jnp.zeros(1, z.dtype)])
        return rollout_steps(field, y, jnp.zeros((), z.dtype), dts).ys[-1]

    ends = jax.vmap(end)(start)
    error = jnp.sum(parts[None] * (ends[:, :-1] - goal) ** 2, axis=1)
    each = error + factors[0] * ends[:, -1]
    size = sum(jnp.sum(x**2) for x in jax.tree.leaves(weights))
    return jnp.sum(seen * each) / jnp.sum(seen) + factors[1] * size


@functools.lru_cache(maxsize=8)
def _programs(config: GaugeConfig, size: int, members: int) -> tuple[Any, Step]:
    """What makes the state before the first step, and the step: compiled once for
    gauges of one shape (each small operation by itself would take longer)."""
    transform = adam_cosine(config.lr, config.steps)

    @eqx.filter_jit
    def start(key: PRNGKeyArray, fixed: tuple) -> tuple[TrainState, Any]:
        net = MLP(size, size, config.width, config.depth, key=key, zero_last=True)
        weights, static = eqx.partition(net, eqx.is_array)
        weights = jax.tree.map(lambda x: jnp.repeat(x[None], members, 0), weights)
        arrays = (weights, fixed)
        opt = init_opt(transform, arrays, members)
        return TrainState.start(arrays, opt, key, members), static

    return start, gradient_step(_loss, transform, members=members, inner=INNER)


def _train(
    made: Calibration,
    rows: np.ndarray,
    offsets: np.ndarray,
    fold_of: np.ndarray,
    config: GaugeConfig,
    seed: int,
) -> Any:
    """The networks of all flows, trained at once from one start, in float32."""
    size, number, members = rows.shape[1], made.goal.shape[1], len(rows)
    starts = np.einsum("mij,nj->mni", rows, made.scaled) + offsets[:, None]
    seen = np.arange(members)[:, None] != fold_of[None]
    goal = np.concatenate(
        [made.goal, np.zeros((len(made.goal), size - number))], axis=1
    )
    parts = np.where(np.arange(size) < number, 1.0, config.rest)
    factors = np.array([config.kinetic, config.decay])
    told = [np.asarray(x, np.float32) for x in (goal, parts, factors)]
    fixed = (np.asarray(starts, np.float32), np.asarray(seen, np.float32))
    with precision(np.float32):
        start, step = _programs(config, size, members)
        state, static = start(jax.random.key(seed), fixed)
        state, _ = run(
            step,
            state,
            (static, *told),
            num_steps=config.steps,
            log_every=INNER,
            inner=INNER,
        )
        trained = to_host(eqx.combine(state.params[0], static))
    return cast(trained, np.float64)
