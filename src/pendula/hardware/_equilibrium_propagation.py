"""Gradients of the loss at an equilibrium, read off nudged equilibria."""

from __future__ import annotations

import abc
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optax
from jaxtyping import Array, Complex, Float, Int, PRNGKeyArray

from .._checks import not_negative, positive, whole
from .._errors import ConfigError, Status
from ._equilibrium_net import EquilibriumNet, Neurons, Relaxed, largest, verdict
from ._homeostasis import homeostasis


class Settled(NamedTuple):
    """What a rule found for one sample.

    `active`: the activated state of the free equilibrium; `errors`: the slope of the
    loss by the field F of each layer, so that the gradient of the loss is
    `errors^T dF/dtheta`; `residual` and `status`: the worst of all relaxations.
    """

    active: Neurons
    errors: Neurons
    residual: Float[Array, ""]
    status: Int[Array, ""]


def circle(beta: Float[Array, ""], points: int) -> Complex[Array, " point"]:
    """beta e^(2 pi i k / N)."""
    angles = 2.0 * jnp.pi * jnp.arange(points, dtype=beta.dtype) / points
    return jax.lax.complex(beta * jnp.cos(angles), beta * jnp.sin(angles))


class AbstractRule(eqx.Module):
    """How the errors of an equilibrium are found."""

    @abc.abstractmethod
    def __call__(
        self,
        net: EquilibriumNet,
        x: Float[Array, " in"],
        label: Int[Array, ""],
        *,
        key: PRNGKeyArray,
    ) -> Settled:
        """The equilibrium of one sample and its errors."""


class Nudged(AbstractRule):
    r"""Equilibrium propagation: the slope of the activated state by the nudge.

    $$ \frac{dL}{d\theta} \approx - \Big( \frac{d\sigma(u^*)}{d\beta} \Big)^{\!\top}
       \frac{\partial F}{\partial \theta}, \qquad
       \frac{d\sigma(u^*)}{d\beta} = \frac1N \sum_{k=0}^{N-1}
       \frac{\sigma(u^*_{\beta_k})}{\beta_k} + O(\beta^N), \quad
       \beta_k = \beta e^{2 \pi i k / N} $$

    For N = 1 the free state is subtracted. Exact for a symmetric Jacobian of F as beta
    goes to 0; the error of an asymmetric one does not go away with beta or N.

    **Arguments:**
    - `beta`: strength of the nudge.
    - `points`: N, 1 (one-sided), 2 (centred) or a larger even number; of those that
      are complex conjugates one is computed.
    - `steps`, `nudged_steps`: of the free relaxation, and of each that starts at it.
    - `tol`, `rate`: of all of them, as in `EquilibriumNet.relax`. A nudge is a
      feedback of its own: where the weights of the readout have grown, beta or the
      rate must be smaller for the states to settle.
    - `noise`: standard deviation of what is added to u at every step, None for none;
      then all steps are made, and `average` more that the activated state is averaged
      over.

    **Raises:** `ConfigError`.
    **Source:** Scellier, Bengio 2017, Frontiers in Computational Neuroscience 11, 24;
    Laborieux, Zenke 2022, arXiv:2209.00530; 2024, arXiv:2309.02214, section 3.2.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import EquilibriumNet, Nudged
    >>> net = EquilibriumNet((5, 4, 3), 2, key=jax.random.key(0))
    >>> found = Nudged(0.2, 2)(net, jnp.ones(5), jnp.asarray(1), key=jax.random.key(1))
    >>> [e.shape for e in found.errors], int(found.status)
    ([(4,), (3,)], 0)

    ```
    """

    beta: Float[Array, ""]
    """Strength of the nudge."""
    tol: Float[Array, ""]
    """Of the largest component of a change."""
    rate: Float[Array, ""]
    """Share of a change that is made."""
    noise: Float[Array, ""] | None
    """Standard deviation of the noise of u."""
    points: int = eqx.field(static=True)
    """N."""
    steps: int = eqx.field(static=True)
    """At most, without nudge."""
    nudged_steps: int = eqx.field(static=True)
    """At most, with a nudge."""
    average: int = eqx.field(static=True)
    """Noisy states that are averaged."""

    def __init__(
        self,
        beta: float = 0.2,
        points: int = 2,
        *,
        steps: int = 200,
        nudged_steps: int = 100,
        tol: float = 1e-5,
        rate: float = 1.0,
        noise: float | None = None,
        average: int = 5,
    ) -> None:
        if not (math.isfinite(beta) and beta != 0.0):
            raise ConfigError(f"Nudged: beta is {beta}; it must be finite and not 0.")
        if points < 1 or (points > 1 and points % 2):
            raise ConfigError(
                f"Nudged: points is {points}; it is 1 or an even number, so that the "
                "complex nudges come in conjugate pairs."
            )
        counts = {"steps": steps, "nudged_steps": nudged_steps, "average": average}
        whole(1, "Nudged", **counts)
        not_negative("Nudged", tol=tol)
        positive("Nudged", rate=rate)
        if noise is not None:
            not_negative("Nudged", noise=noise)
        self.beta, self.tol = jnp.asarray(beta, float), jnp.asarray(tol, float)
        self.rate = jnp.asarray(rate, float)
        self.noise = None if noise is None else jnp.asarray(noise, float)
        self.points, self.steps = points, steps
        self.nudged_steps, self.average = nudged_steps, average

    def __call__(
        self,
        net: EquilibriumNet,
        x: Float[Array, " in"],
        label: Int[Array, ""],
        *,
        key: PRNGKeyArray,
    ) -> Settled:
        walk = _Walk(self, net, x, label, key)
        free = walk.to(jnp.zeros((), self.beta.dtype), None, 0)
        phases: list[_Phase] = [free]
        if self.points == 1:
            phases += [walk.to(self.beta, free.states, 1)]
            nudged = phases[-1].active
            errors = tuple(
                (a - b) / self.beta for a, b in zip(free.active, nudged, strict=True)
            )
            return _settled(free.active, errors, phases)
        # of the N strengths on a circle beta and -beta are real
        signs = jnp.asarray([1.0, -1.0], self.beta.dtype)
        two = jax.vmap(lambda s, k: walk.to(s * self.beta, free.states, k))(
            signs, jnp.arange(1, 3)
        )
        phases.append(two)
        turned = self.points // 2 - 1
        total = tuple((a[0] - a[1]) / self.beta for a in two.active)
        if turned:
            ring = circle(self.beta, self.points)[1 : turned + 1]
            found = jax.vmap(lambda b, k: walk.to(b, free.states, k))(
                ring, jnp.arange(3, 3 + turned)
            )
            phases.append(found)
            total = tuple(
                t + 2.0 * jnp.sum((a / ring[:, None]).real, axis=0)
                for t, a in zip(total, found.active, strict=True)
            )
        errors = tuple(-t / self.points for t in total)
        return _settled(free.active, errors, phases)


class _Phase(NamedTuple):
    """Where one relaxation ended, or several, stacked."""

    states: Neurons
    active: Neurons
    residual: Array
    status: Array


class _Walk(NamedTuple):
    """Relaxations of one sample under one rule."""

    rule: Nudged
    net: EquilibriumNet
    x: Array
    label: Array
    key: PRNGKeyArray

    def to(self, beta: Array, start: Neurons | None, index: int | Array) -> _Phase:
        """The equilibrium under a nudge, with noise a mean about it."""
        rule, net = self.rule, self.net
        steps = rule.steps if start is None else rule.nudged_steps
        if rule.noise is None:
            options: dict[str, Any] = {"start": start, "steps": steps}
            options |= {"tol": rule.tol, "rate": rule.rate}
            found: Relaxed = net.relax(self.x, beta, self.label, **options)
            active = net.active(found.states)
            return _Phase(found.states, active, found.residual, found.status)
        states, active = net.fluctuate(
            self.x,
            rule.noise,
            beta,
            self.label,
            start=start,
            steps=steps,
            average=rule.average,
            key=jax.random.fold_in(self.key, index),
        )
        # there is no fixed point to be far from
        size = largest(active)
        zero = jnp.zeros_like(size)
        return _Phase(states, active, zero, verdict(size * 0.0, zero))


def _settled(active: Neurons, errors: Neurons, phases: list[_Phase]) -> Settled:
    """With the worst residual and status of all relaxations."""
    worst = jnp.max(jnp.stack([jnp.max(p.residual) for p in phases]))
    status = jnp.max(jnp.stack([jnp.max(p.status) for p in phases]))
    return Settled(active, errors, worst, status)


class Oscillating(AbstractRule):
    r"""Equilibrium propagation online: the nudge goes round a circle, the state
    follows, and no phase is told apart.

    $$ \beta_t = \beta e^{2 \pi i t / T}, \qquad
       \frac{d\sigma(u^*)}{d\beta} \approx \langle \sigma(u_t) / \beta_t \rangle, \qquad
       \sigma(u^*) \approx \langle \sigma(u_t) \rangle $$

    with means over the last of the periods; the first ones let the state settle. Its
    residual is the largest change of the errors from the last period but one.

    **Arguments:** `beta`; `period`: T, strengths a turn; `inner`: steps at each;
    `cycles`: periods, at least 2; `tol`: of the residual.
    **Raises:** `ConfigError`.
    **Source:** Laborieux, Zenke 2022, arXiv:2209.00530, section 3.3.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import EquilibriumNet, Oscillating
    >>> net = EquilibriumNet((5, 4, 3), 2, key=jax.random.key(0))
    >>> rule = Oscillating(0.2)
    >>> found = rule(net, jnp.ones(5), jnp.asarray(1), key=jax.random.key(1))
    >>> int(found.status)
    0

    ```
    """

    beta: Float[Array, ""]
    """Strength of the nudge."""
    tol: Float[Array, ""]
    """Of the largest change of an error."""
    period: int = eqx.field(static=True)
    """Strengths in one turn."""
    inner: int = eqx.field(static=True)
    """Steps at each."""
    cycles: int = eqx.field(static=True)
    """Turns."""

    def __init__(
        self,
        beta: float = 0.4,
        *,
        period: int = 10,
        inner: int = 10,
        cycles: int = 4,
        tol: float = 1e-4,
    ) -> None:
        if not (math.isfinite(beta) and beta != 0.0):
            raise ConfigError(f"Oscillating: beta is {beta}; it must not be 0.")
        if period < 3 or inner < 1 or cycles < 2:
            raise ConfigError(
                f"Oscillating: period {period}, inner {inner}, cycles {cycles}; "
                "expected at least 3 strengths a turn, 1 step at each and 2 turns."
            )
        whole(1, "Oscillating", period=period, inner=inner, cycles=cycles)
        not_negative("Oscillating", tol=tol)
        self.beta, self.tol = jnp.asarray(beta, float), jnp.asarray(tol, float)
        self.period, self.inner, self.cycles = period, inner, cycles

    def __call__(
        self,
        net: EquilibriumNet,
        x: Float[Array, " in"],
        label: Int[Array, ""],
        *,
        key: PRNGKeyArray,
    ) -> Settled:
        ring = circle(self.beta, self.period)
        drive = net.drive(x)

        def at(carry: tuple, beta: Array) -> tuple:
            states, mean, slope = carry
            states = jax.lax.fori_loop(
                0, self.inner, lambda _, u: net.step(u, drive, beta, label), states
            )
            active = net.active(states)
            mean = tuple(m + a.real for m, a in zip(mean, active, strict=True))
            slope = tuple(
                s + (a / beta).real for s, a in zip(slope, active, strict=True)
            )
            return (states, mean, slope), None

        def turn(states: Neurons, _: None) -> tuple:
            zero = net.start()
            (states, mean, slope), _ = jax.lax.scan(at, (states, zero, zero), ring)
            share = lambda parts, sign: tuple(sign * p / self.period for p in parts)
            return states, (share(mean, 1.0), share(slope, -1.0))

        begun = net.start(ring.dtype)
        _, (means, errors) = jax.lax.scan(turn, begun, None, length=self.cycles)
        last = tuple(e[-1] for e in errors)
        residual = largest(tuple(e[-1] - e[-2] for e in errors))
        active = tuple(m[-1] for m in means)
        return Settled(active, last, residual, verdict(residual, self.tol))


class Implicit(AbstractRule):
    r"""The exact gradient at the fixed point, by the implicit function theorem.

    $$ \lambda = D\, (I - J^\top D)^{-1} g, \qquad \frac{dL}{d\theta} = \lambda^\top
       \frac{\partial F}{\partial \theta} $$

    with J the Jacobian of F by the activated state, D the slopes of the activation and
    g the slope of the loss by the activated state: backpropagation at the same fixed
    points.

    **Arguments:** `solver`: of Lineax; LU of the whole matrix without, good for some
    hundred neurons; `steps`, `tol`, `rate`: of the relaxation.
    **Source:** Almeida 1987, Proc. IEEE First Int. Conf. on Neural Networks 2, 609;
    Pineda 1987, Physical Review Letters 59, 2229.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import EquilibriumNet, Implicit
    >>> net = EquilibriumNet((5, 4, 3), 2, key=jax.random.key(0))
    >>> found = Implicit()(net, jnp.ones(5), jnp.asarray(1), key=jax.random.key(1))
    >>> int(found.status)
    0

    ```
    """

    solver: lx.AbstractLinearSolver
    """Of the linear system."""
    tol: Float[Array, ""]
    """Of the relaxation."""
    rate: Float[Array, ""]
    """Share of a change that is made."""
    steps: int = eqx.field(static=True)
    """At most."""

    def __init__(
        self,
        solver: lx.AbstractLinearSolver | None = None,
        *,
        steps: int = 200,
        tol: float = 1e-5,
        rate: float = 1.0,
    ) -> None:
        whole(1, "Implicit", steps=steps)
        not_negative("Implicit", tol=tol)
        positive("Implicit", rate=rate)
        self.solver = lx.LU() if solver is None else solver
        self.tol, self.rate = jnp.asarray(tol, float), jnp.asarray(rate, float)
        self.steps = steps

    def __call__(
        self,
        net: EquilibriumNet,
        x: Float[Array, " in"],
        label: Int[Array, ""],
        *,
        key: PRNGKeyArray,
    ) -> Settled:
        drive = net.drive(x)
        options: dict[str, Any] = {"steps": self.steps, "tol": self.tol}
        found = net.relax(x, rate=self.rate, **options)
        active, slopes = jax.jvp(
            net.active, (found.states,), (jax.tree.map(jnp.ones_like, found.states),)
        )
        _, back = jax.vjp(lambda a: net.field(a, drive), active)
        scaled = lambda v: jax.tree.map(jnp.multiply, slopes, v)
        by = lambda v: jax.tree.map(jnp.subtract, v, back(scaled(v))[0])
        g = (*net.start()[:-1], net.slope(active, label))
        operator = lx.FunctionLinearOperator(by, jax.eval_shape(lambda: g))
        solution = lx.linear_solve(operator, g, self.solver, throw=False)
        errors = scaled(solution.value)
        status = jnp.where(
            jnp.isfinite(largest(errors)), found.status, Status.non_finite_state.value
        )
        return Settled(active, errors, found.residual, status.astype(jnp.int32))


class Watched(NamedTuple):
    """How relaxations of a training went: the largest `residual`, and how many samples
    of how many did not settle."""

    residual: Float[Array, ""]
    unsettled: Int[Array, ""]
    samples: Int[Array, ""]

    @classmethod
    def nothing(cls, dtype: Any = None) -> Watched:
        """Before the first sample."""
        none = jnp.zeros((), jnp.int32)
        return cls(jnp.zeros((), dtype or jnp.result_type(float)), none, none)


def equilibrium_loss(
    net: EquilibriumNet,
    xs: Float[Array, "sample in"],
    labels: Int[Array, " sample"],
    rule: AbstractRule,
    *,
    key: PRNGKeyArray,
    homeostatic: float | Float[Array, ""] = 0.0,
    probes: int = 5,
    one_noise: bool = False,
) -> tuple[Float[Array, ""], Watched]:
    """Mean cross-entropy of a batch, whose gradient by `jax.grad` is that of the rule.

    No gradient flows through a relaxation: the readout has its own, all other weights
    that of the errors of the rule. So the loss goes wherever a loss goes, into
    `train.gradient_step` with any transform of Optax.

    **Shapes**: `xs` `"sample in"`, `labels` `"sample"`.
    **Arguments:**
    - `rule`: `Nudged`, `Oscillating` or `Implicit`.
    - `homeostatic`: the coefficient of `homeostasis`, with `probes` draws a sample.
    - `one_noise`: all samples of the batch have the same draws of noise.

    **Returns:** the loss, and how the relaxations went.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import EquilibriumNet, Nudged, equilibrium_loss
    >>> net = EquilibriumNet((5, 4, 3), 2, key=jax.random.key(0))
    >>> loss = lambda net: equilibrium_loss(
    ...     net, jnp.eye(5), jnp.arange(5) % 2, Nudged(), key=jax.random.key(1))
    >>> (value, watched), slope = jax.value_and_grad(loss, has_aux=True)(net)
    >>> slope.forward[0].shape, int(watched.unsettled)
    ((4, 5), 0)

    ```
    """
    held = jax.lax.stop_gradient(net)
    keys = jax.random.split(key, 2 * len(xs)).reshape(2, len(xs))
    draws, axis = (keys[0, 0], None) if one_noise else (keys[0], 0)
    weighed = not (isinstance(homeostatic, float) and homeostatic == 0.0)

    def one(x: Array, label: Array, draw: Array, probe: Array) -> tuple:
        found = jax.lax.stop_gradient(rule(held, x, label, key=draw))
        drive = net.drive(x)
        given = net.field(found.active, drive)
        pull = sum_of_products(found.errors, given)
        value = optax.softmax_cross_entropy_with_integer_labels(
            net.logits(found.active), label
        )
        value = value + (pull - jax.lax.stop_gradient(pull))
        if weighed:
            field = lambda a: net.field(a, drive)
            more = homeostasis(field, found.active, probes=probes, key=probe)
            value = value + jnp.asarray(homeostatic, more.dtype) * more
        return value, found.residual, found.status

    values, residuals, statuses = jax.vmap(one, (0, 0, axis, 0))(
        xs, labels, draws, keys[1]
    )
    late = jnp.sum(statuses != Status.ok.value).astype(jnp.int32)
    count = jnp.asarray(len(xs), jnp.int32)
    return jnp.mean(values), Watched(jnp.max(residuals), late, count)


def sum_of_products(a: Neurons, b: Neurons) -> Float[Array, ""]:
    """The inner product of two states."""
    return jnp.sum(jnp.stack([jnp.sum(p * q) for p, q in zip(a, b, strict=True)]))
