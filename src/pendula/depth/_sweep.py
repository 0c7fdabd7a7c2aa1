"""Is a network continuous in depth: its accuracy in other schemes and steps."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import whole
from .._errors import ConfigError
from ..data import Images, Scaling
from ._fit_images import accuracy, classify, predict
from ._image_net import right


@dataclasses.dataclass(frozen=True)
class DepthSweep:
    """Accuracy on unseen images over scheme and number of steps.

    **Shapes:** `schemes`, `steps`: what was tried; `accuracy` `"scheme step"`;
    `trained`: scheme and number of steps of the network as it was given (of its
    first block, where they differ), `reference` its accuracy; `errors` `"scheme step"`:
    standard error of each accuracy less the reference, from the images that only one
    of the two has right: what other images of the kind would change.
    """

    schemes: tuple[str, ...]
    steps: tuple[int, ...]
    accuracy: np.ndarray
    trained: tuple[str, int]
    reference: float
    errors: np.ndarray

    def lost(self, scheme: str, n_steps: int) -> float:
        """Accuracy lost against the network as trained, in points of 100."""
        return 100.0 * (
            self.reference - float(self.accuracy[self._at(scheme, n_steps)])
        )

    def lost_error(self, scheme: str, n_steps: int) -> float:
        """Standard error of `lost`, in points of 100: what is lost by less than twice
        that may be chance."""
        return 100.0 * float(self.errors[self._at(scheme, n_steps)])

    def _at(self, scheme: str, n_steps: int) -> tuple[int, int]:
        if scheme not in self.schemes or n_steps not in self.steps:
            raise ConfigError(
                f"{n_steps} steps of {scheme} were not tried. Tried: "
                f"{', '.join(self.schemes)} in {self.steps}."
            )
        return self.schemes.index(scheme), self.steps.index(n_steps)


def depth_sweep(
    net: Any,
    images: Images,
    scaling: Scaling,
    *,
    state: Any = None,
    schemes: Sequence[str] = ("euler", "midpoint", "rk4"),
    steps: Iterable[SupportsIndex] = (1, 2, 3, 4, 6, 8),
) -> DepthSweep:
    """The convergence test in depth: the same weights in every scheme and step.

    A network whose weights are a vector field keeps its accuracy in small steps and
    good schemes; one that holds only in the steps it was trained in has a dip there.

    With batch norm the running statistics belong to the stages that they were
    gathered in: what is lost elsewhere may be lost by the statistics. Where `state` is
    a function of the network they are estimated for each scheme and step, and the
    weights alone are judged: `state=lambda net: recalibrate(net, net.initial_state(),
    batches, 40)` of a network `with_state_mode("stages")`.

    **Arguments:** `net`: a network of blocks; `images`: unseen ones; `state`: running
    statistics, the same for all, or `state(net)` those of the network in each scheme
    and step.
    **Raises:** `ConfigError` for a residual network, unknown schemes, or none.
    **Source:** Queiruga, Erichson, Taylor, Mahoney 2020, arXiv:2008.02389 (the test of
    fields, here with the error on unseen images in place of the exact one); errors:
    Agresti, Min 2005, Statistics in Medicine 24, 729-740.
    """
    steps = [whole(1, "depth_sweep", steps=n) for n in steps]
    if not steps or not schemes:
        raise ConfigError(
            "depth_sweep: there is nothing to try; name at least one of schemes and "
            "one number of steps."
        )
    own: Callable[[Any], Any] = state if callable(state) else lambda _: state
    shown = lambda net: right(predict(net, own(net), images, scaling), images.labels)
    found = np.array([[shown(net.manifest(s, n)) for n in steps] for s in schemes])
    block = net.blocks[0]
    now, tried = (block.scheme, block.n_steps), [(s, n) for s in schemes for n in steps]
    alike = _common(net, "scheme") and _common(net, "steps") == (1,) * block.n_steps
    if alike and now in tried:
        reference = found.reshape(len(tried), -1)[tried.index(now)]
    else:
        reference = shown(net)
    return DepthSweep(
        tuple(schemes),
        tuple(steps),
        found.mean(axis=-1),
        now,
        float(reference.mean()),
        paired_error(found, reference),
    )


def paired_error(found: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Standard error of the difference of two shares of the same images, with half an
    image added to each of the four ways in which both can be right or wrong: also
    where all agree it is not 0."""
    one = (found * (1.0 - reference)).sum(-1)
    other = (reference * (1.0 - found)).sum(-1)
    count = found.shape[-1] + 2.0
    return np.sqrt(one + other + 1.0 - (one - other) ** 2 / count) / count


def _common(net: Any, name: str) -> Any:
    """What all blocks have; None where they have it not, or differ."""
    first, *rest = (getattr(block, name, None) for block in net.blocks)
    return first if all(other == first for other in rest) else None


@dataclasses.dataclass(frozen=True)
class Manifestation:
    """One way to evaluate a network: `scheme` and `n_steps` (None for a residual
    network, and where blocks differ), `accuracy` on unseen images, `seconds` for
    `count` of them (each of the repeated runs), `parameters`: their number."""

    scheme: str | None
    n_steps: int | None
    accuracy: float
    seconds: tuple[float, ...]
    count: int
    parameters: int

    @property
    def median_seconds(self) -> float:
        """Median of the inference times."""
        return float(np.median(self.seconds))


def manifestation(
    net: Any,
    images: Images,
    scaling: Scaling,
    *,
    state: Any = None,
    repeats: int = 6,
    count: int = 1000,
) -> Manifestation:
    """Accuracy and inference time of a network as it is.

    **Arguments:** `repeats`: timed runs, after one that compiles; `count`: images in
    each, one batch. What scales the pixels is not timed.
    """
    whole(1, "manifestation", repeats=repeats, count=count)
    part = images.first(min(count, len(images)))
    x = jnp.asarray(scaling.apply(part.pixels))
    infer = eqx.filter_jit(classify)
    jax.block_until_ready(infer(net, x, state))
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(infer(net, x, state))
        times.append(time.perf_counter() - began)
    arrays = jax.tree.leaves(eqx.filter(net, eqx.is_inexact_array))
    return Manifestation(
        _common(net, "scheme"),
        _common(net, "n_steps"),
        accuracy(net, state, images, scaling),
        tuple(times),
        len(part),
        sum(x.size for x in arrays),
    )
