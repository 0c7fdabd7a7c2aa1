"""How many entries eta needs: by the error on systems that were held out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import ConfigError, DataError
from .._precision import precision
from ..diagnostics import principal_dimension, sensitive_dimension
from ..nn import bind
from ..train import EtaPrior, adapt
from ._family_adapt import fisher_of
from ._family_config import FamilyConfig
from ._family_data import Clips, FamilyData, drawn
from ._family_programs import instance_loss
from ._known_terms import varying
from ._model import Model, weighted_residual


SIZES = (4, 8)  # entries that are trained: more only where all of them are needed
FOLDS = 3
FEW = 6  # systems, from which on several are held out at once
STEPS = 15  # of each stage: enough to tell directions apart
CLIPS = 8  # of one system, on which it is adapted and on which it is judged
ITERATIONS = 12
NOTHING = 1e-2  # of the error without eta: what no further entry is taken for


@dataclasses.dataclass(frozen=True)
class EtaSize:
    """The number of entries of eta and what it was chosen by.

    `errors` and `deviations` `"entries"`: squared error (in spreads) on clips of
    held-out systems when 0, 1, .. entries were adapted to other clips of them, and
    its standard error over the systems, the worst tenth left out; `principal` and
    `sensitive` `"fold"`: what the etas of each training fill; `notes`: sentences.
    """

    chosen: int
    errors: tuple[float, ...]
    deviations: tuple[float, ...]
    principal: tuple[int, ...]
    sensitive: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether most trainings have as many principal components."""
        return bool(np.median(self.principal) == self.chosen)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return dataclasses.asdict(self) | {"agrees": self.agrees}


def chosen_size(
    found: FamilyData,
    config: FamilyConfig,
    setup: Callable[[FamilyData, FamilyConfig], Any],
    tell: Callable[[dict[str, Any]], None] | None = None,
) -> EtaSize:
    r"""Choose the number of entries of eta by systems that were not trained on.

    $$ e_k = \tfrac1N \sum_i \mathrm{median}_{clips}\, \mathrm{MSE}^i
       \big(\bar\eta + \sum_{j \le k} a_j z_j^i\big), \qquad
       \hat d = \min \{ k \ge 1 : e_k \le e_* + s_* + 10^{-2} e_0 \} $$

    Each fold trains the others with more entries than should be needed. The $a_j$ are
    the directions of eta in the order of how far they move the trajectories of those
    systems (`sensitive_dimension`), and only z of the first k is fitted to one half of
    a held-out system's clips; $e_k$ is the error on the other half, $e_*$ the lowest,
    $s_*$ its standard error over the systems, of which the worst tenth is left out. One
    training of a fold serves for all k.
    The last term is for data without noise, where errors fall on for ever, and for what
    the law itself gets wrong: as with principal components, 99 % has to be enough.

    **Arguments:** `setup(found, config)` makes a training.
    **Source:** ours; the rule of one standard error is Breiman, Friedman, Olshen,
    Stone 1984, section 3.4.3.
    """
    held = _folds(found.num, config.seed)
    kept = found.num - len(held[0])
    size = _chosen(found, config, setup, tell, held, max(1, min(SIZES[0], kept - 1)))
    if size.chosen == SIZES[0] < kept - 1:
        size = _chosen(found, config, setup, tell, held, min(SIZES[1], kept - 1))
    return size


def check_choice(found: FamilyData, config: FamilyConfig) -> None:
    """Whether a size can be chosen.

    **Raises:** `DataError` for fewer than 3 systems, `ConfigError` for a head that has
    one entry, or constants that vary.
    """
    if config.head == "reference":
        raise ConfigError(
            "the published network sees |eta|, whose entries cannot be ordered. Give "
            "the size of eta, or take head affine."
        )
    if names := varying(config.model):
        raise ConfigError(
            f"{len(names)} constants vary ({', '.join(names)}), an entry of eta each. "
            f"Give its size (--eta), {len(names)} or more."
        )
    if found.num < 3:
        raise DataError(
            f"{found.num} systems: to choose the size of eta some are held out, at "
            "least 3 are needed. Give the size."
        )


def _chosen(
    found: FamilyData,
    config: FamilyConfig,
    setup: Any,
    tell: Any,
    held: list[np.ndarray],
    most: int,
) -> EtaSize:
    """The choice among 1 to `most` entries."""
    errors, counts = _judged(found, config, setup, tell, held, most)
    errors = np.sort(errors, axis=0)[: len(errors) - _worst(len(errors))]
    mean = errors.mean(axis=0)
    deviation = errors.std(axis=0, ddof=1) / np.sqrt(len(errors))
    best = int(np.argmin(mean))
    limit = mean[best] + deviation[best] + NOTHING * mean[0]
    chosen = max(1, int(np.flatnonzero(mean <= limit)[0]))
    notes = []
    if mean[0] <= limit:
        notes.append("Eta explains nothing of held-out systems: do they differ?")
    if chosen == most:
        few = most == found.num - len(held[0]) - 1
        notes.append(
            f"All {most} entries that could be tried are needed; there may be more. "
            f"{'Give records of more systems' if few else 'Give the size of eta'}."
        )
    principal, sensitive = zip(*counts, strict=True)
    size = EtaSize(
        chosen,
        tuple(float(e) for e in mean),
        tuple(float(s) for s in deviation),
        principal,
        sensitive,
        (),
    )
    if not size.agrees:
        several = ", ".join(str(p) for p in sorted(set(principal)))
        notes.append(
            f"The principal components of eta count {several}: they go by variance "
            "alone, the size was chosen by the error."
        )
    return dataclasses.replace(size, notes=tuple(notes))


def _worst(systems: int) -> int:
    """Systems that are left out, a tenth: where a single one fails to be adapted, its
    error would be that of the mean and its standard error alike."""
    return -(-systems // 10) if systems >= FEW - 1 else 0


def size_lines(about: dict[str, Any]) -> list[str]:
    """What was decided of the size of eta, in words; nothing where it was given."""
    told = about.get("size")
    if told is None:
        return []
    table = ", ".join(
        f"{k}: {np.sqrt(max(e, 0.0)):.2g}" for k, e in enumerate(told["errors"])
    )
    line = (
        f"Size of eta {told['chosen']}, chosen: error on systems that were held out, "
        f"in spreads, by the number of entries: {table}."
    )
    agree = ["As many as eta has principal components."] if told["agrees"] else []
    return [line, *agree, *told["notes"]]


def _folds(systems: int, seed: int) -> list[np.ndarray]:
    """Systems to hold out, as many in every fold: one program serves all."""
    each = -(-systems // FOLDS) if systems >= FEW else 1
    order = np.random.default_rng([seed, 5]).permutation(systems)
    count = -(-systems // each)
    return [order[np.arange(k * each, (k + 1) * each) % systems] for k in range(count)]


def _judged(
    found: FamilyData,
    config: FamilyConfig,
    setup: Any,
    tell: Any,
    held: list[np.ndarray],
    most: int,
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Errors `"system entries"`, and the dimensions of each fold's etas."""
    outer = config.mode not in ("auto", "gauss_newton", "joint")
    config = dataclasses.replace(
        config,
        size=most,
        mode="auto" if outer else config.mode,
        steps=config.steps or STEPS,
    )
    errors: list[list[np.ndarray]] = [[] for _ in range(found.num)]
    counts = []
    for number, fold in enumerate(held):
        others = np.setdiff1d(np.arange(found.num), fold)
        part = _some(found, others)
        work = setup(part, config)
        say = None if tell is None else _within(tell, f"size {number + 1}/{len(held)}")
        with precision(work.dtype):
            model, etas, _ = work.train(None, False, say)
            etas = np.asarray(etas, np.float64)
        fisher, variance, _ = fisher_of(model, etas, part, work.dtype)
        out = _scores(work, model, etas, fisher, variance, _some(found, fold))
        for system, row in zip(fold, out, strict=True):
            errors[system].append(row)
        counts.append(
            (
                principal_dimension(etas).estimate,
                sensitive_dimension(etas, fisher).estimate,
            )
            if len(etas) > 2
            else (1, 1)
        )
    return np.stack([np.mean(rows, axis=0) for rows in errors]), counts


def _some(found: FamilyData, systems: np.ndarray) -> FamilyData:
    """The same data, a part of the systems."""
    return dataclasses.replace(
        found,
        rows=tuple(found.rows[i] for i in systems),
        labels=tuple(found.labels[i] for i in systems),
    )


def _within(tell: Any, what: str) -> Any:
    return lambda row: tell({**row, "phase": f"{what}, {row['phase']}"})


def _scores(
    work: Any,
    model: Model,
    etas: np.ndarray,
    fisher: np.ndarray,
    variance: float,
    found: FamilyData,
) -> np.ndarray:
    """Errors `"system entries"` of held-out systems."""
    dtype = work.dtype
    shortest = int((found.data.lengths.min() - 1) // found.every)
    length = int(np.clip(work.horizon, 2, max(2, shortest // 2 + 1)))
    clips = found.clips(length, (length - 1) * found.every, dtype)
    halves = [_halves(c) for c in clips]
    draw = lambda k: drawn([h[k] for h in halves], CLIPS, np.random.default_rng(k))
    axes = _directions(etas, fisher.mean(axis=0))
    size = len(axes)
    keep = np.tri(size + 1, size, -1)  # row k keeps the first k
    with precision(dtype):
        out = _errors(
            model,
            jnp.asarray(etas.mean(axis=0), dtype),
            jnp.asarray(axes[None] * keep[:, None], dtype),
            draw(0),
            draw(1),
            jnp.asarray(1.0 / found.spread, dtype),
            jnp.asarray(variance, dtype),
        )
        errors = np.asarray(out, np.float64).T
    # a rollout that fails is as bad as no eta at all, or worse
    worst = np.where(np.isfinite(errors), errors, 0.0).max(axis=1, keepdims=True)
    return np.where(np.isfinite(errors), errors, np.maximum(worst, 1.0))


def _halves(clips: Clips) -> tuple[Clips, Clips]:
    """The first and the second half of the clips of a system."""
    middle = max(1, len(clips.y0) // 2)
    cut = lambda part: jax.tree.map(lambda x: x[part], clips)
    return cut(slice(None, middle)), cut(slice(min(middle, len(clips.y0) - 1), None))


def _directions(etas: np.ndarray, fisher: np.ndarray) -> np.ndarray:
    """Directions of eta in columns, each as long as it varies over the systems; first
    the one that moves trajectories most."""
    centred = (etas - etas.mean(axis=0)) / np.sqrt(len(etas) - 1)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    root = sizes[:, None] * axes  # root' root = C
    root = np.concatenate([root, np.zeros((etas.shape[1] - len(root), len(axes.T)))])
    eigen, vectors = np.linalg.eigh(root @ fisher @ root.T)
    return root.T @ vectors[:, np.argsort(eigen)[::-1]]


@eqx.filter_jit
def _errors(
    model: Model,
    centre: Array,
    axes: Float[Array, "kept eta entry"],
    first: Clips,
    second: Clips,
    weight: Array,
    variance: Array,
) -> Float[Array, "kept system"]:
    """Adapt along the kept directions to the first clips, judge on the second."""
    size = axes.shape[-1]
    none = jnp.zeros((0, 0), weight.dtype)
    prior = EtaPrior(jnp.zeros(size, weight.dtype), jnp.eye(size, dtype=weight.dtype))

    def one(axes: Array, near: Clips, far: Clips) -> Array:
        def residual(z: Array, _: Array, clip: Clips) -> Array:
            member = bind(model, centre + axes @ z)
            return weighted_residual(member, clip.y0, clip.batch, weight)

        out = adapt(
            residual,
            prior,
            near,
            near.y0[:, :0],
            prior.mean,
            variance=variance,
            start_precision=none,
            count=jnp.sum(near.batch.mask, dtype=weight.dtype),
            iterations=ITERATIONS,
        )
        each = jax.tree.map(lambda x: x[:, None], far)
        loss = lambda clip: instance_loss(model, centre + axes @ out.eta, clip, weight)
        # a clip that begins near a separatrix would speak for all others in a mean
        return jnp.median(jax.vmap(loss)(each))

    over = jax.vmap(one, (None, 0, 0))
    return jax.vmap(over, (0, None, None))(axes, first, second)
