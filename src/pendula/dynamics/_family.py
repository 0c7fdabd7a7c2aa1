"""A fitted family: the shared law, the etas of its members, and how to get others."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._checks import whole
from .._errors import CheckpointError, ConfigError, ShapeError
from .._numbers import numbers
from .._precision import cast, precision, to_host
from .._registry import register
from ..data import Trajectories
from ..nn import bind
from ..train import load_tree, save_tree
from ._config import to_dict
from ._family_adapt import Adapted, adapt_many, fisher_of
from ._family_config import FamilyConfig
from ._family_constants import member_constants
from ._family_data import FamilyData, states_of
from ._family_new import found_starts
from ._family_outside import law_lines
from ._family_size import size_lines
from ._family_step import step_change, step_lines
from ._layout import Layout, match_channels, match_inputs, match_units
from ._model import Model
from ._reaction import with_boundary
from ._times import LONGEST, divided


@register("module")
class SavedFamily(eqx.Module):
    """What the file of a family holds."""

    model: Model
    etas: Any
    fisher: Any


@dataclasses.dataclass(frozen=True)
class Family:
    """The law that several systems share.

    **Shapes:** `etas` `"system eta"` of the training systems, `fisher`
    `"system eta eta"` the sensitivity J'J of their observations (in spreads); `about`
    is a JSON-able record: names, units, layout, what was decided, the range visited.
    """

    model: Model
    etas: Float[np.ndarray, "system eta"]
    fisher: Float[np.ndarray, "system eta eta"]
    about: dict[str, Any]

    @property
    def size(self) -> int:
        """Number of entries of eta."""
        return self.etas.shape[1]

    @property
    def folded(self) -> bool:
        """Whether the network sees |eta|: signs mean nothing then, and etas are told
        without."""
        return self.about["config"]["head"] == "reference"

    @property
    def size_lines(self) -> list[str]:
        """What was decided of the size of eta, in sentences; none where it was
        given."""
        return size_lines(self.about)

    @property
    def step_lines(self) -> list[str]:
        """A sentence where the law counts on the step that it was trained with."""
        return step_lines(self.about)

    @property
    def law_lines(self) -> list[str]:
        """A sentence where the law misses its own training by more than the noise."""
        return law_lines(self.about)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the training systems."""
        return tuple(self.about["labels"])

    @property
    def dtype(self) -> np.dtype:
        """Precision of the model."""
        return np.dtype(self.about["dtype"])

    @property
    def plan(self) -> Layout:
        """The state behind the channels."""
        return Layout.of(self.about)

    @property
    def mean(self) -> Float[np.ndarray, "eta"]:
        """Mean of the training etas: the prior's."""
        return self.etas.mean(axis=0)

    @property
    def covariance(self) -> Float[np.ndarray, "eta eta"]:
        """Covariance of the training etas, never singular: the prior's. N systems
        differ in N - 1 directions at most; the others count as wide as the mean."""
        cov = np.atleast_2d(np.cov(self.etas.T))
        level = max(float(np.trace(cov)) / len(cov), 1e-12)
        _, axes = np.linalg.eigh(cov)
        unseen = axes[:, : max(0, len(cov) - len(self.etas) + 1)]
        return cov + level * (1e-4 * np.eye(len(cov)) + unseen @ unseen.T)

    @property
    def law_error(self) -> Float[np.ndarray, "obs"]:
        """What the law is off by on the training data, in the units of the channels,
        each residual counted as often as it repeats itself: as the `noise` of `adapt`
        it lets data that are hardly noisy say no more than a law with errors can
        use."""
        size = np.sqrt(self.about["variance"] * self.about.get("correlation", 1.0))
        return size * np.asarray(self.about["spread"])

    def at(self, eta: Any) -> Model:
        """The model of one member, its arrays on the host; `.field` can stand wherever
        a known system can."""
        with precision(self.dtype):
            model = jax.tree.map(jnp.asarray, cast(self.model, self.dtype))
            return to_host(bind(model, jnp.asarray(self._eta(eta))))

    def constants(
        self, eta: Any, covariance: Any = None
    ) -> dict[str, tuple[float, float]]:
        """The constants that vary (`KnownConfig.varies`) of the member eta `"eta"`:
        name -> (value, standard deviation), NaN without `covariance` `"eta eta"`."""
        eta = self._eta(eta)
        sd = None if covariance is None else np.sqrt(np.diag(covariance))
        known = self.about["config"]["model"]["known"]
        with precision(self.dtype):
            return member_constants(self.model, known, eta, sd)

    def with_boundary(self, boundary: str) -> Family:
        """The same family on a line with another boundary, `neumann` or `dirichlet`:
        the diffusion is known, and what was learned does not depend on it. Under
        `dirichlet` both ends keep what the start state says.

        **Raises:** `ConfigError` for an unknown boundary, or a model that has no known
        law `diffusion`.
        """
        model = with_boundary(self.model, boundary)
        return dataclasses.replace(self, model=model)

    def adapt(self, data: Trajectories, **options: Any) -> Adapted:
        """A new member from its trajectories, all of one system.

        See `adapt_many` for the options. **Raises:** `DataError` for data that do not
        fit the family.
        """
        single = data.replace(env=np.zeros(data.num, int))
        return adapt_many(self, single, **options)[0]

    def adapt_many(self, data: Trajectories, **options: Any) -> list[Adapted]:
        """Several new members at once, one for each value of `env`."""
        return adapt_many(self, data, **options)

    def predict(
        self, eta: Any, y0: Any, ts: Any, *, refine: int = 1
    ) -> Float[np.ndarray, "*lead time obs"]:
        """Observations of the member eta `"*lead eta"` from a state `"*lead dim"` at
        times `"time"`; NaN where the rollout failed. The steps are those between the
        times, divided where they are longer than the law was trained with; `refine`
        multiplies them.

        **Raises:** `ShapeError` for an eta, a state or times that do not fit,
        `ConfigError` for a family with inputs.
        """
        ts = np.asarray(ts, np.float64)
        rising = ts.ndim == 1 and len(ts) > 0 and (np.diff(ts) > 0).all()
        if not (rising and np.isfinite(ts).all()):
            raise ShapeError(
                f"times of shape {ts.shape}; expected finite ones that increase."
            )
        whole(1, refine=refine)
        if self.about["ctrl"]:
            raise ConfigError(
                "the family has inputs, and what they will be is not said: roll out "
                "family.at(eta), whose steps take them."
            )
        eta, y0 = self._eta(eta), numbers("a state", y0, self.dtype)
        if y0.shape[-1:] != (self.model.dim,):
            raise ShapeError(
                f"a state has shape {y0.shape}; expected ({self.model.dim},): "
                f"{', '.join(self.about['state'])}."
            )
        longest = LONGEST * self.about["every"] * self.about["sampling"]
        grid, where = divided(ts, longest)
        if len(ts) == 1:  # a rollout takes a step
            grid = np.append(grid, ts[0] + longest)
        lead = np.broadcast_shapes(eta.shape[:-1], y0.shape[:-1])
        flat = lambda x: np.broadcast_to(x, (*lead, x.shape[-1])).reshape(
            -1, x.shape[-1]
        )
        with precision(self.dtype):
            out = _predict(
                cast(self.model, self.dtype),
                jnp.asarray(flat(eta)),
                jnp.asarray(flat(y0)),
                jnp.asarray(grid[0], self.dtype),
                jnp.asarray(np.diff(grid), self.dtype),
                refine,
            )
            return np.asarray(out)[:, where].reshape(*lead, len(ts), -1)

    def _eta(self, eta: Any) -> np.ndarray:
        """Of one or more members, `"*lead eta"`. **Raises:** `ShapeError`."""
        eta = numbers("eta", eta, self.dtype)
        if eta.shape[-1:] != (self.size,):
            raise ShapeError(
                f"eta has shape {eta.shape}; the family takes ({self.size},)."
            )
        return eta

    def match(self, data: Trajectories) -> Trajectories:
        """The channels and inputs of the family, in its order, in its units.

        **Raises:** `DataError` naming what is missing or in another unit.
        """
        about = self.about
        data = match_channels(data, about["names"], "the family needs channel")
        data = match_inputs(data, about.get("input_names", data.input_names))
        match_units(data, about["units"], about["time_unit"], about.get("input_units"))
        return data

    def first_states(
        self, data: Trajectories, noise: Any = None, etas: Any = None
    ) -> Float[np.ndarray, "traj dim"]:
        """The state of each trajectory at its first sample: the measured one where
        the noise is below a thousandth of the spread, else one of the smoothed data,
        which is rough at the end of a record: with the `etas` `"traj eta"` of their
        systems the one from which the first samples are followed best. NaN where it
        cannot be told. `noise` as for `adapt`."""
        data = self.match(data)
        states, _, exact = states_of(data, self.plan, self.about["spread"], noise)
        if etas is None or exact:
            return states[:, 0]
        return found_starts(self, data, states[:, 0], self._eta(etas))

    def summary(self) -> str:
        """A few lines: what was learned, from how many systems."""
        a = self.about
        lines = [
            f"a family of {len(self.etas)} systems, eta of size {self.size} "
            f"(head {a['config']['head']}, {a['mode']}, {a['weights']} weights)",
            f"state: {', '.join(a['state'])}",
            *self.size_lines,
            *self.step_lines,
            *self.law_lines,
        ]
        lines += [
            f"eta of {k}: {np.array2string(e, precision=4)}"
            for k, e in zip(self.labels, self.etas, strict=True)
        ]
        return "\n".join(lines)

    def save(self, path: str | Path) -> Path:
        """Write one `.safetensors` file; no pickle."""
        path = Path(path)
        tree = SavedFamily(self.model, self.etas, self.fisher)
        save_tree(path, tree, {"kind": "family", **self.about})
        return path

    @classmethod
    def of(
        cls,
        model: Model,
        etas: np.ndarray,
        found: FamilyData,
        config: FamilyConfig,
        setup: Any,
        outcomes: list[dict[str, Any]],
        seconds: float,
    ) -> Family:
        """The result of a fit."""
        plan, data = found.plan, found.data
        about = {
            "names": list(data.names),
            "units": list(data.units),
            "time_unit": data.time_unit,
            "angle": [bool(a) for a in data.angle],
            "layout": plan.to_dict(),
            "state": list(plan.state_names),
            "labels": list(found.labels),
            "config": to_dict(config),
            "mode": setup.mode,
            "weights": setup.weights,
            "dtype": str(setup.dtype),
            "spread": found.spread.tolist(),
            "noise": np.nan_to_num(found.noise).tolist(),
            "low": found.ranges.low.tolist(),
            "high": found.ranges.high.tolist(),
            "every": found.every,
            "sampling": found.sampling,
            "stages": outcomes,
            "seconds": seconds,
            "licence": data.licence,
            "ctrl": data.ctrl,
            "input_names": list(data.input_names),
            "input_units": list(data.input_units),
            "params": _labels_of(found),
            "param_names": list(data.param_names),
        }
        eta0 = etas.mean(axis=0) if setup.eta0 is None else setup.eta0
        about["eta0"] = eta0.tolist()
        fisher, variance, repeats = fisher_of(model, etas, found, setup.dtype)
        about |= {"variance": variance, "correlation": repeats}
        told = step_change(model, etas, found, setup.horizon, setup.dtype)
        change, error = np.nan_to_num(told).tolist()
        about |= {"step_change": change, "step_error": error}
        return cls(model, etas, fisher, about)


def load_family(path: str | Path) -> Family:
    """A saved family. **Raises:** `CheckpointError` for another kind of file."""
    tree, about = load_tree(Path(path))
    if about.get("kind") != "family" or not isinstance(tree, SavedFamily):
        raise CheckpointError(
            f"{path} holds no family. Give the family.safetensors of a run made with "
            "pendula fit --family."
        )
    return Family(
        tree.model,
        np.asarray(tree.etas, np.float64),
        np.asarray(tree.fisher, np.float64),
        about,
    )


def _labels_of(found: FamilyData) -> list[list[float | None]] | None:
    """The known parameters of each system, for a gauge: training never sees them; None
    where they are missing or differ between the trajectories of a system."""
    if found.data.params is None:
        return None
    rows = []
    for mine in found.rows:
        table = np.asarray(found.data.params[mine], float).reshape(len(mine), -1)
        known = np.isfinite(table[0]) & (table == table[0]).all(axis=0)
        rows.append(
            [float(v) if k else None for v, k in zip(table[0], known, strict=True)]
        )
    return rows


@eqx.filter_jit
def _predict(
    model: Model, etas: Any, y0: Any, t0: Any, dts: Any, refine: int
) -> jax.Array:
    def one(eta: Any, y: Any) -> Any:
        member = bind(model, eta)
        roll = member.steps(y, t0, dts, refine=refine)
        return jax.vmap(member.observe)(roll.ys)

    return jax.vmap(one)(etas, y0)
