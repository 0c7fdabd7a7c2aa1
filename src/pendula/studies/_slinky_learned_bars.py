"""Part `learned_bars` of study `slinky`: how many numbers a cycle needs, and whether
those that are found by themselves are the ones made by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..dynamics import (
    CYCLE_POSES as POSES,
    CycleCode,
    code_path,
    fit_code,
    moved_cycles,
    slinky_network,
)
from ..systems import cycle_shapes, to_bars
from ._claim import Claim
from ._figures import COLOURS, figure
from ._row import Row
from ._slinky import slinky
from ._slinky_cases import CASES, SlinkyCase, distances, follow, on
from ._study import Run


SIZES = (1, 2, 3, 4, 5)
PLANE = 3  # a motion of the plane
SECONDS = 0.7


def _rows() -> Iterator[Row]:
    yield Row(
        "slinky.learned_bars.elbow",
        "Numbers to a cycle at which the error of the nodes bends most: the largest "
        "fall of its logarithm from one number fewer, less the fall to one more.",
        better="equal",
        target=PLANE,
        source="Wang 2023, section 5.2.1",
        tried="Networks of two layers of 128 each way, 4000 updates, cycles of the "
        "record of 0.76 s put anywhere in the plane; errors on cases 1 and 2.",
    )
    where = "nodes of cases 1 and 2, root mean square distance"
    for k in SIZES:
        own = f"slinky.learned_bars.{{}}_{k}"
        yield Row(own.format("error"), f"{k} learned numbers to a cycle: {where}.", "m")
        many = f"{k} principal components of"
        text = f"{many} the same cycles, put anywhere as for the networks: {where}."
        yield Row(own.format("linear_error"), text, "m")
        text = f"{many} the cycles where the record has them: {where}."
        yield Row(own.format("record_linear_error"), text, "m")
        yield Row(
            own.format("shape_error"),
            f"{many} a cycle seen from its own bar: {where}.",
            "m",
        )
    yield Row(
        "slinky.learned_bars.correlation",
        "Least of the three canonical correlations of three learned numbers with "
        "(x, y, alpha), cases 1 and 2.",
        better="higher",
    )
    yield Row(
        "slinky.learned_bars.correlation_bent",
        "The same with polynomials of third degree of the three numbers: what of "
        "(x, y, alpha) they hold along curves.",
        better="higher",
    )
    yield Row(
        "slinky.learned_bars.bars_m",
        "Bars of the cycles as three numbers give them back, case 0 until 0.7 s: mean "
        "distance of their ends.",
        "m",
    )
    yield Row(
        "slinky.learned_bars.rollout_m",
        "Case 0 until 0.7 s in three learned coordinates, inertia from the decoder, "
        "energy of the kept network: mean distance of the ends of bars.",
        "m",
    )
    yield Row(
        "slinky.learned_bars.rollout_handmade_m",
        "The same energy in the coordinates made by hand.",
        "m",
    )


_FULL: dict[str, Any] = {"cycles": None, "steps": 4000, "width": 128}
_QUICK = {"cycles": 6, "steps": 200, "width": 16}


@slinky.part("learned_bars", tuple(_rows()), full=_FULL, quick=_QUICK)
def learned_bars(run: Run) -> Iterator[Claim]:
    """Encoders of one to five numbers, learned from the record, tried elsewhere."""
    s = run.settings
    row = lambda key: run.row(f"slinky.learned_bars.{key}")
    cases = CASES[:3]
    if s["cycles"] is not None:
        cases = tuple(c.smaller(s["cycles"], 0.12) for c in cases)
    record = dataclasses.replace(cases[0], seconds=min(0.76, cases[0].seconds))
    own = watched(run, "record", record)
    others = [watched(run, c.key, c) for c in cases[1:]]
    shapes = cycle_shapes(own["nodes"]).reshape(-1, 17, 3)
    seen = np.concatenate([about(*(o[k] for k in ("nodes", "u"))) for o in others])
    bars = np.concatenate([from_places(o["u"]) for o in others])
    elsewhere = [cycle_shapes(o["nodes"]).reshape(-1, 17, 3) for o in others]
    apart = np.concatenate(elsewhere)
    taught = {
        "linear_error": anywhere(shapes),
        "record_linear_error": about(own["nodes"], own["u"]),
    }
    codes: dict[int, CycleCode] = {}
    errors = []
    for k in SIZES:
        codes[k], _ = fit_code(
            shapes,
            k,
            width=s["width"],
            steps=s["steps"],
            tell=lambda at: run.progress(f"{at['phase']}: {at['step']}"),
        )
        errors.append(apart_by(again(codes[k], seen), seen))
        yield row(f"error_{k}").measured(errors[-1])
        for key, cycles in taught.items():
            off = apart_by(components(cycles, seen, k), seen)
            yield row(f"{key}_{k}").measured(off)
        yield row(f"shape_error_{k}").measured(
            apart_by(components(shapes, apart, k), apart)
        )
    none = apart_by(np.broadcast_to(seen.mean(0), seen.shape), seen)
    yield row("elbow").measured(elbow([none, *errors]))
    numbers = encoded(codes[PLANE], seen)
    yield row("correlation").measured(correlations(numbers, bars)[-1])
    yield row("correlation_bent").measured(correlations(bent(numbers), bars)[-1])
    yield from motions(run, codes[PLANE], record, own)
    draw(run, [none, *errors])


def watched(run: Run, key: str, case: SlinkyCase) -> dict[str, np.ndarray]:
    """Times, nodes and bars of a case."""

    def compute() -> dict[str, np.ndarray]:
        found = case.run()
        u, _ = to_bars(found.nodes)
        return {"ts": found.ts, "nodes": found.nodes, "u": u}

    return run.keep(key, compute)


def from_places(u: np.ndarray) -> np.ndarray:
    """Bars `"sample 3"` counted from where their cycles stood before."""
    away = u.copy()
    away[..., :2] -= u[:1, :, :2]
    return away.reshape(-1, 3)


def about(nodes: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Nodes `"sample 17 3"` of all cycles about the places that these had before they
    were let go, along fixed axes."""
    at = 16 * np.arange(u.shape[1])[:, None] + np.arange(17)
    own = nodes[:, at].copy()
    own[..., :2] -= u[:1, :, None, :2]
    own[..., 2] -= own[..., :-1, 2].mean(-1, keepdims=True)
    return own.reshape(-1, 17, 3)


def anywhere(shapes: np.ndarray) -> np.ndarray:
    """Shapes put where networks meet them while they learn."""
    at = np.random.default_rng(0).uniform(*POSES, (len(shapes), 3))
    put = moved_cycles(jnp.asarray(shapes), jnp.asarray(at))
    return np.asarray(put, np.float64)


def encoded(code: CycleCode, nodes: np.ndarray) -> np.ndarray:
    """Codes of cycles."""
    own = jax.tree.map(jnp.asarray, code)
    return np.asarray(jax.vmap(own.encode)(jnp.asarray(nodes, jnp.float32)), float)


def again(code: CycleCode, nodes: np.ndarray) -> np.ndarray:
    """Cycles that went through a code."""
    own = jax.tree.map(jnp.asarray, code)
    codes = jax.vmap(own.encode)(jnp.asarray(nodes, jnp.float32))
    return np.asarray(jax.vmap(own.decode)(codes), float)


def components(taught: np.ndarray, seen: np.ndarray, k: int) -> np.ndarray:
    """Cycles that went through k principal components of others."""
    flat = taught.reshape(len(taught), -1)
    mean = flat.mean(0)
    ways = np.linalg.svd(flat - mean, full_matrices=False)[2][:k]
    off = seen.reshape(len(seen), -1) - mean
    return (mean + off @ ways.T @ ways).reshape(seen.shape)


def apart_by(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square distance of nodes."""
    return float(np.sqrt(np.mean(np.sum((a - b) ** 2, axis=-1))))


def elbow(errors: list[float]) -> int:
    """The number of coordinates (of 1, 2, .. in errors[1], errors[2], ..) at which the
    logarithm of the error bends most."""
    fall = -np.diff(np.log(errors))
    return int(np.argmax(fall[:-1] - fall[1:])) + 1


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Canonical correlations: singular values between bases of both sets."""
    bases = [np.linalg.svd(x - x.mean(0), full_matrices=False)[0] for x in (a, b)]
    return np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)


def bent(c: np.ndarray) -> np.ndarray:
    """Products of up to three of the columns."""
    c = (c - c.mean(0)) / c.std(0)
    one = np.concatenate([np.ones((len(c), 1)), c], axis=1)
    every = np.einsum("ni,nj,nk->nijk", one, one, one)
    low = [
        (i, j, k) for i in range(4) for j in range(i, 4) for k in range(max(j, 1), 4)
    ]
    return np.stack([every[:, i, j, k] for i, j, k in low], axis=1)


def motions(
    run: Run, code: CycleCode, case: SlinkyCase, own: dict[str, np.ndarray]
) -> Iterator[Claim]:
    """Case 0 in learned and in hand-made coordinates."""
    row = lambda key: run.row(f"slinky.learned_bars.{key}")
    until = own["ts"] <= SECONDS * (1.0 + 1e-9)
    ts, u = own["ts"][until], own["u"][until]
    x = about(own["nodes"][until], u)
    top, low = (again(code, x)[:, k, :2] for k in (0, 8))
    both = np.stack([x[:, 0, :2] - top, x[:, 8, :2] - low])
    yield row("bars_m").measured(float(np.linalg.norm(both, axis=-1).mean()))
    chain = slinky_network().model().field.force
    start = encoded(code, x[: u.shape[1]])
    path = code_path(code, on(case, chain), u[0, :, :2], start, ts)
    yield row("rollout_m").measured(distances(path, u).mean())
    known = {"ts": ts, "u": u, "v": np.zeros_like(u)}
    by_hand = follow(case, chain, known)
    yield row("rollout_handmade_m").measured(distances(by_hand.u, u).mean())


def draw(run: Run, errors: list[float]) -> None:
    """Error against the number of coordinates."""
    with figure(run.figures / "learned_bars.svg", 1, 3.6) as (ax,):
        ax.semilogy(range(len(errors)), [1e3 * e for e in errors], "o-", c=COLOURS[0])
        ax.axvline(PLANE, color=COLOURS[1], lw=1.0, ls=":")
        ax.set(
            xlabel="numbers to a cycle",
            ylabel="error of its nodes [mm]",
            title="Cycles of other Slinkys through an encoder",
        )
