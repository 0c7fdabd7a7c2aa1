"""Part `chain` of study `slinky`: the law of a spring from one record of ten masses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._tree import split_trainable
from ..dynamics import ElasticChain, SecondOrder, SpringLaw
from ..nn import MLP
from ..solve import rollout, scheme
from ..systems import simulate, system
from ..train import (
    AbstractCallback,
    ClipCurriculum,
    Tell,
    TrainState,
    adam_cosine,
    clip_loss,
    finish,
    gradient_step,
    run as train,
)
from ._claim import Claim
from ._row import Row
from ._slinky import slinky
from ._study import Run


STEP = 0.02
DRAG = 0.15
DRAWN = 0.4  # strains at the start; 0.42 are then visited
STRAIN = 0.45  # up to which the law is compared
_TRIED = (
    "Spring of a line and a network without biases, clips of 20 to 50 steps, Adam 1e-2 "
    "by a cosine."
)


def _row(key: str, statement: str, target: Any = None, **more: Any) -> Row:
    tried = {} if target is None else {"tried": _TRIED}
    return Row(f"slinky.chain.{key}", statement, target=target, **tried, **more)


_ROWS = (
    _row(
        "law_error",
        "Force of a spring over strains of up to 0.45, from one record of 10 masses "
        "with noise 1e-3: relative error.",
        0.10,
    ),
    _row("drag", "Its drag: distance from 0.15.", 0.03, unit="1/s"),
    _row("training", "Displacements over the record, relative error."),
    _row("new_start", "Displacements from another start, relative error."),
    _row("transfer_25", "The same spring between 25 masses, 4 s.", 0.07),
    _row("transfer_60", "The same spring between 60 masses, 10 s."),
    _row("seconds", "Time of the training.", 90.0, unit="s"),
    _row(
        "control",
        "A plain neural ODE of the 20 numbers (two layers of 64), same data and number "
        "of updates: its error from another start over ours. It has no meaning for 25 "
        "masses.",
        better="higher",
    ),
    _row(
        "no_line_law_error",
        "Without the linear part, clips of 10 steps, 600 updates: error of the law.",
    ),
)
_FULL: dict[str, Any] = {"steps": 900, "seeds": 3, "batch": 32, "long": 50}
_QUICK = {"steps": 6, "seeds": 1, "batch": 4, "long": 24}


@slinky.part("chain", _ROWS, full=_FULL, quick=_QUICK)
def chain(run: Run) -> Iterator[Claim]:
    """Three seeds of weights and noise; the control and the bad recipe one."""
    s = run.settings
    row = lambda key: run.row(f"slinky.chain.{key}")
    found: dict[str, list[float]] = {}
    for seed in range(s["seeds"]):
        run.progress(f"chain: seed {seed}")
        data = record(10, seed, noise=1e-3)
        began = time.perf_counter()
        field = learned(data, s, seed)
        taken = time.perf_counter() - began
        out = judged(field, seed) | {"seconds": taken}
        for key, value in out.items():
            found.setdefault(key, []).append(value)
    for key, values in found.items():
        yield row(key).measured(values)
    run.progress("chain: the control")
    data = record(10, 0, noise=1e-3)
    plain = control(data, s)
    yield row("control").measured(error(plain, 10, 101, 200) / found["new_start"][0])
    run.progress("chain: the recipe that fails")
    bad = dict(s, steps=s["steps"] * 2 // 3, long=10)
    other = learned(data, bad, 0, line=0.0)
    yield row("no_line_law_error").measured(law_error(other))


def record(
    masses: int, seed: int, samples: int = 200, noise: float = 0.0
) -> np.ndarray:
    """States `"time dim"` of the true chain from a random start at rest."""
    rng = np.random.default_rng((masses, seed))
    q = np.cumsum(rng.uniform(-DRAWN, DRAWN, masses))
    data = simulate(
        system("spring_chain", masses=masses, damping=DRAG),
        y0=np.concatenate([q, np.zeros(masses)]),
        duration=STEP * samples,
        dt=STEP,
        noise=noise,
        seed=seed,
    )
    return data.ys[0]


def learned(
    ys: np.ndarray, settings: dict[str, Any], seed: int, line: float = 20.0
) -> ElasticChain:
    """The spring and the drag that reproduce a record."""
    law = SpringLaw.create(jax.random.key(seed), line=line)
    # c starts at 0.3
    field = ElasticChain(law, jnp.log(jnp.expm1(jnp.asarray(0.3))))
    wrap = lambda f: SecondOrder(f, ys.shape[1] // 2)
    return fitted(field, wrap, ys, settings, seed)


def fitted(
    field: Any,
    wrap: Callable[[Any], Any],
    ys: np.ndarray,
    settings: dict[str, Any],
    seed: int,
) -> Any:
    """A field trained on clips of a record that grow from 20 steps."""
    params, static = split_trainable(field)
    solver = scheme("rk4")

    def advance(params: Any, row: Any, y: Any, step: tuple) -> Any:
        whole = wrap(eqx.combine(params, static))
        return solver.step(whole, step[0], y, step[1], lambda s: None, None)

    frames, dim = ys.shape
    longest = min(settings["long"] + 1, frames)
    steps = settings["steps"]
    curriculum = ClipCurriculum(
        min(21, longest),
        longest,
        max(1, steps // 60),
        settings["batch"],
    )
    loss = clip_loss(
        advance,
        jnp.asarray(STEP * np.arange(frames), jnp.float32),
        jnp.asarray(ys[None], jnp.float32),
        jnp.asarray(1.0 / ys.std(0), jnp.float32),
        longest,
    )
    draw = curriculum.batches(1, frames, dim, seed)
    transform = adam_cosine(1e-2, steps)
    state = TrainState.start(params, transform.init(params), jax.random.key(seed))
    quiet: list[AbstractCallback] = [Tell(lambda row: None)]
    state, _ = train(
        gradient_step(loss, transform),
        state,
        lambda k: jax.tree.map(jnp.asarray, draw(k)),
        quiet,
        num_steps=steps,
        log_every=max(1, steps // 5),
    )
    return eqx.combine(finish(state), static)


class Plain(eqx.Module):
    """The control: rates of the whole state by one network."""

    net: MLP

    def __call__(self, t: Any, y: Any, u: Any, context: Any) -> Any:
        """dy/dt."""
        return self.net(y)


def control(ys: np.ndarray, settings: dict[str, Any]) -> Plain:
    """Trained like the spring."""
    net = MLP(ys.shape[1], ys.shape[1], 64, 2, key=jax.random.key(0))
    return fitted(Plain(net), lambda f: f, ys, settings, 0)


def judged(field: ElasticChain, seed: int) -> dict[str, float]:
    """All measures of one spring."""
    return {
        "law_error": law_error(field),
        "drag": abs(float(field.drag) - DRAG),
        "training": error(field, 10, seed, 200),
        "new_start": error(field, 10, 101 + seed, 200),
        "transfer_25": error(field, 25, seed, 200),
        "transfer_60": error(field, 60, seed, 500),
    }


def law_error(field: ElasticChain) -> float:
    """Relative error of the force over the strains compared."""
    e = np.linspace(-STRAIN, STRAIN, 181)
    true = 20.0 * e + 60.0 * e**3
    ours = np.asarray(field.law(jnp.asarray(e, jnp.float32)), float)
    return float(np.linalg.norm(ours - true) / np.linalg.norm(true))


def error(field: Any, masses: int, seed: int, samples: int) -> float:
    """Relative error of the displacements of a motion that was not learned from."""
    true = record(masses, seed, samples)
    whole = SecondOrder(field, masses) if isinstance(field, ElasticChain) else field
    ts = STEP * np.arange(samples + 1)
    out = rollout(whole, jnp.asarray(true[0], jnp.float32), ts, scheme="rk4")
    q = np.asarray(out.ys, float)[:, :masses]
    gap = np.linalg.norm(q - true[:, :masses])
    return float(gap / np.linalg.norm(true[:, :masses]))
