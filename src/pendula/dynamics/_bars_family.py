"""The energy that chains of bars share, with a small vector for each material."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import CheckpointError, ConfigError, ShapeError
from .._precision import to_host
from .._registry import register
from .._tree import split_trainable
from ..data import Trajectories
from ..train import Estimate, load_tree, save_tree
from ._bar_chain import BarChain, BarWorld
from ._bars_config import BarsConfig
from ._bars_records import bar_model, bar_records
from ._bars_stages import (
    bar_network,
    beginning,
    channel_weights,
    classical_laws,
    held_out,
    moved_by,
)
from ._chain_records import Records
from ._chain_stages import Loop, clips_that_grow
from ._config import from_dict, to_dict


INNER = 2  # steps on eta, as published for the Slinky
SUPPORT = 0.3  # s of a record that eta is fitted to


@register("module")
class SavedBarFamily(eqx.Module):
    """What the file of a family of bars holds."""

    chain: BarChain
    etas: Any
    start: Any


@dataclasses.dataclass(frozen=True)
class BarFamily:
    """An energy of bars that depends on eta, and how eta is found from a record.

    **Shapes:** `etas` `"record eta"` of the training records, `start` `"eta"` where the
    search for a new one begins; `about`: the number of its steps (`inner`), the time of
    the record that it looks at (`support` [s]), the training.
    """

    chain: BarChain
    etas: Float[np.ndarray, "record eta"]
    start: Float[np.ndarray, "eta"]
    about: dict[str, Any]

    def adapt(
        self,
        data: Trajectories,
        *,
        world: BarWorld | None = None,
        first: bool | None = None,
        last: bool | None = None,
        steps: int | None = None,
    ) -> Float[np.ndarray, "eta"]:
        """eta of a new material, from the beginning of its records.

        As many steps of Gauss and Newton as in training, or `steps` of them. `world`,
        `first`, `last`: those of the records, where they are not those of training. Use
        the result as `context` of `bar_path` and `bar_rest`, of any other chain of this
        material.
        **Raises:** `ConfigError` for no step, `DataError` for records that are none of
        bars.
        """
        count = int(self.about["inner"]) if steps is None else steps
        if count < 1:
            raise ConfigError(f"steps is {count}; at least one step finds eta.")
        changes = {"world": world, "first": first, "last": last}
        given: dict[str, Any] = {k: v for k, v in changes.items() if v is not None}
        chain = dataclasses.replace(self.chain, **given)
        config = from_dict(self.about["config"], BarsConfig)
        support = bar_records(data).until(self.about["support"])
        params, static = split_trainable(jax.tree.map(jnp.asarray, chain))
        residual, items = residual_of(static, support, config), items_of(support)
        # all records are of one material
        together = lambda theta, eta, items: jnp.ravel(
            jax.vmap(residual, (None, None, 0))(theta, eta, items)
        )
        start = jnp.asarray(self.start, jnp.float32)
        found = jax.jit(lambda p: stepped(together, p, start, items, count))(params)
        return np.asarray(found, np.float64)

    def save(self, path: str | Path) -> Path:
        """Write one `.safetensors` file."""
        path = Path(path)
        tree = SavedBarFamily(self.chain, self.etas, self.start)
        save_tree(path, tree, {"kind": "bar family", **self.about})
        return path

    @classmethod
    def load(cls, path: str | Path) -> BarFamily:
        """A saved one. **Raises:** `CheckpointError` for another kind of file."""
        tree, about = load_tree(Path(path))
        if about.pop("kind", None) != "bar family":
            raise CheckpointError(
                f"{path} holds no family of bars. Give a file that BarFamily.save made."
            )
        etas, start = (np.asarray(x, np.float64) for x in (tree.etas, tree.start))
        return cls(tree.chain, etas, start, about)


def fit_bar_family(
    data: Trajectories,
    world: BarWorld,
    config: BarsConfig | None = None,
    *,
    size: int = 1,
    inner: int = INNER,
    support: float = SUPPORT,
    first: bool = True,
    last: bool = True,
    out: str | Path | None = None,
    resume: bool = False,
    tell: Callable[[dict[str, Any]], None] | None = None,
) -> BarFamily:
    r"""One energy E(z, eta) of chains of several materials, eta of each unknown.

    $$ \eta^i_{l+1} = \eta^i_l - (J^\top J)^{-1} J^\top r_i(\theta, \eta^i_l), \qquad
       \min_\theta \tfrac1N \sum_i L_i(\theta, \eta^i_m) $$

    The inner loop looks at the first `support` seconds of a record, from one start for
    all; the outer one at clips of whole records. It begins from the classical laws of
    the records: the etas are first the leading components of their constants'
    logarithms (no label is looked at). A step is that of the linearised errors r, J
    their slope in eta, where the thesis descends with a step size that has to be found:
    how fast a Slinky falls back depends so strongly on its material that no one size
    serves all of a family.

    **Arguments:** `data`: one record of `pendula.systems.bar_record` each material, on
    the same times; `world`, `first`, `last`: what all have in common; `size` of eta;
    `inner` steps; `config`: its `start` is always the classical law. `out`, `resume`:
    a run folder, and going on in it.
    **Raises:** `ConfigError` for less records than `size` + 1, or for `members`;
    `DataError` for records that cannot be used.
    **Source:** Wang 2023, equations 4.3 to 4.6 and section 4.8.1; the beginning is
    ours.
    """
    config = BarsConfig(batch=4) if config is None else config
    began = time.perf_counter()
    records = bar_records(data)
    _check(records, config, size, inner, support)
    train = records.until(config.span)
    ends: dict[str, Any] = {"first": first, "last": last}
    own = ends | {"size": size, "inner": inner, "support": support}
    loop = Loop.opened(out, resume, tell, config, world, data, **own)
    each = [
        dataclasses.replace(train, ys=train.ys[i : i + 1]) for i in range(len(train.ys))
    ]
    laws, outcomes = classical_laws(each, world, config, ends, loop)
    constants = np.stack([np.asarray(law.stiffness) for law in laws])
    etas = jnp.asarray(leading(constants, size), jnp.float32)
    energy = bar_network(config, config.seed, size)
    chain = BarChain(energy, world, rule=config.rule, **ends)
    law = jax.tree.map(lambda *xs: jnp.stack([jnp.asarray(x) for x in xs]), *laws)
    chain, told = beginning(chain, law, train, config, config.seed, loop, etas)
    outcomes.append(told)
    look = records.until(support)
    chain, etas, start, told = _meta(
        chain, train, records, look, config, inner, size, loop
    )
    outcomes.append(told)
    about = {
        "config": to_dict(config),
        "inner": inner,
        "support": support,
        "stages": outcomes,
        "laws": np.exp(constants.astype(np.float64)).tolist(),
        "seconds": time.perf_counter() - began,
    }
    return BarFamily(to_host(chain), etas, start, about)


def _check(
    records: Records, config: BarsConfig, size: int, inner: int, support: float
) -> None:
    if size < 1 or len(records.ys) <= size:
        raise ConfigError(
            f"{len(records.ys)} records for an eta of size {size}: a family needs more "
            "records than eta has entries, and at least one entry."
        )
    if inner < 1:
        raise ConfigError(f"inner is {inner}; at least one step finds eta.")
    if config.members != 1 or config.start != "law":
        raise ConfigError(
            "a family of bars is one network that begins from the classical law: "
            "members is 1 and start is law."
        )
    if not support <= config.span:
        raise ConfigError(
            f"support is {support:g} s, span {config.span:g} s; eta is found from a "
            "part of what is trained on."
        )


def leading(
    constants: Float[np.ndarray, "record law"], size: int
) -> Float[np.ndarray, "record size"]:
    """The leading principal components of rows, each of mean 0 and variance 1."""
    away = constants - constants.mean(axis=0)
    u, s, _ = np.linalg.svd(away, full_matrices=False)
    if size > len(s):
        raise ShapeError(
            f"the laws have {len(s)} constants; eta cannot begin with {size} of their "
            "components."
        )
    return u[:, :size] * np.sqrt(len(constants))


def items_of(records: Records) -> tuple[Array, Array, Array]:
    """First states, steps and states after, of all records."""
    ys = jnp.asarray(records.ys, jnp.float32)
    dts = jnp.asarray(np.diff(records.ts), jnp.float32)
    return ys[:, 0], jnp.broadcast_to(dts, (len(ys), len(dts))), ys[:, 1:]


def residual_of(static: Any, records: Records, config: BarsConfig) -> Any:
    """residual(theta, eta, item): weighted errors of one record, followed from its
    first state."""
    weight = jnp.asarray(channel_weights(config, records.count), jnp.float32)

    def residual(theta: Any, eta: Array, item: tuple) -> Array:
        y0, dts, ys = item
        model = bar_model(eqx.combine(theta, static), records.count, config.substeps)
        path = model.steps(y0, jnp.zeros((), y0.dtype), dts, None, eta).ys[1:]
        return jnp.ravel((path - ys) * weight[None])

    return residual


def stepped(
    residual: Any, theta: Any, eta: Array, item: Any, steps: int
) -> Float[Array, "eta"]:
    """eta after some steps of Gauss and Newton."""

    def once(eta: Array, _: Any) -> tuple[Array, None]:
        both = lambda eta: (residual(theta, eta, item),) * 2
        slope, off = jax.jacfwd(both, has_aux=True)(eta)
        normal = slope.T @ slope
        # an entry that moves nothing stays
        floor = 1e-6 * jnp.trace(normal) + jnp.finfo(normal.dtype).tiny
        eye = jnp.eye(eta.shape[0], dtype=normal.dtype)
        return eta - jnp.linalg.solve(normal + floor * eye, slope.T @ off), None

    return jax.lax.scan(once, eta, None, length=steps)[0]


def _meta(
    chain: BarChain,
    train: Records,
    records: Records,
    support: Records,
    config: BarsConfig,
    inner: int,
    size: int,
    loop: Loop,
) -> tuple[BarChain, np.ndarray, np.ndarray, dict[str, Any]]:
    """Weights and the start of eta on clips, with etas from the inner loop, held when
    the gradient is taken (first order)."""
    params, static = split_trainable(chain)
    residual, items = residual_of(static, support, config), items_of(support)

    def found(theta: Any, start: Array) -> Array:
        fit = lambda item: stepped(residual, theta, start, item, inner)
        return jax.vmap(fit)(items)

    def advance(pair: Any, row: Any, y: Array, step: tuple) -> Array:
        theta, etas = pair
        chain = eqx.combine(theta, static)
        return moved_by(chain, y, step, config.substeps, etas[row])

    def estimate(
        loss: Any, pair: Any, batch: Any, key: Any, step: Any, statistics: Any
    ) -> Estimate:
        theta, start = pair
        etas = jax.lax.stop_gradient(found(theta, start))
        whole = jax.value_and_grad(loss, has_aux=True)
        value, (slope, towards) = whole((theta, etas), batch, key)
        return value, (slope, jnp.sum(towards, axis=0))

    judge = held_out(static, train, records, config.substeps)
    fitted = jax.jit(found)
    (params, start), told = clips_that_grow(
        (params, jnp.zeros(size, jnp.float32)),
        advance,
        channel_weights(config, train.count),
        train,
        config,
        config.seed,
        loop,
        lambda pair: judge(pair[0], fitted(*pair)),
        name="clips of a family",
        estimator=estimate,
    )
    found_etas = np.asarray(fitted(params, start), np.float64)
    first = np.asarray(start, np.float64)
    return eqx.combine(params, static), found_etas, first, told
