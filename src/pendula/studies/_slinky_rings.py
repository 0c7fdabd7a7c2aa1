"""Part `rings` of study `slinky`: the Slinky in space, a rigid ring for each cycle."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from ..dynamics import (
    ElasticRings,
    FittedRings,
    RingChain,
    RingPath,
    RingsConfig,
    RingWorld,
    fit_rings,
    ring_path,
)
from ..systems import (
    Rings,
    Slinky,
    drop,
    from_rings,
    pushed,
    ring_record,
    to_rings,
)
from ._claim import Claim
from ._figures import COLOURS, figure
from ._row import Row
from ._slinky import slinky
from ._study import Run


GRAVITY = 9.8  # m/s^2


@dataclasses.dataclass(frozen=True)
class Throw:
    """A motion: cycles, seconds, velocity across [m/s], turn about the axis [rad/s],
    half waves of both, whether it falls."""

    cycles: int
    seconds: float
    across: float = 0.0
    spin: float = 0.0
    waves: tuple[int, int] = (1, 1)
    falls: bool = True

    @property
    def gravity(self) -> tuple[float, float, float]:
        """Along -y, or none [m/s^2]."""
        return (0.0, -GRAVITY if self.falls else 0.0, 0.0)

    @property
    def world(self) -> RingWorld:
        """Of its rings."""
        own = Slinky(self.cycles)
        return RingWorld.of(own.cycle_mass, own.radius, self.gravity)


FRAME = 0.01  # s between saved states
TAUGHT = "train"
_SPAN = 0.7
_FULL: dict[str, Any] = {
    "throws": {
        TAUGHT: Throw(30, 0.76, across=1.5, spin=20.0, waves=(1, 2)),
        "out_of_plane": Throw(40, 1.5, across=-1.5),
        "torsional": Throw(40, 1.5, spin=25.0, falls=False),
        "torsional_falling": Throw(40, 1.5, spin=25.0),
    },
    "config": RingsConfig(span=_SPAN),
    "turns": 20,
}
_QUICK = {
    "throws": {
        key: dataclasses.replace(throw, cycles=5, seconds=0.08)
        for key, throw in _FULL["throws"].items()
    },
    "config": RingsConfig(width=4, depth=1, steps=4, longest=5, span=0.06),
    "turns": 2,
}
_WORDS = {
    TAUGHT: "30 cycles, thrown aside and wrung, the 0.7 s that it learned from",
    "out_of_plane": "40 cycles that fall, thrown aside at 1.5 m/s the other way, 1.5 s",
    "torsional": "40 cycles wrung by 25 rad/s without weight, 1.5 s",
    "torsional_falling": "40 cycles wrung by 25 rad/s that fall, 1.5 s",
}
_LAWS = {
    "": "Network on thirteen constants",
    "classic_": "Six springs, fitted",
    "coupled_": "Thirteen constants, fitted",
    "wire_": "Six springs from wire and radius, nothing fitted",
}
_SPRINGS = ("stretch", "shear_2", "shear_3", "twist", "bend_2", "bend_3")
_MEAN = "mean distance of the ends of rings over the largest mean way from the start"
_TRIED = (
    "Law of six springs and seven couplings by Levenberg-Marquardt on one record, then "
    "a network of the wire's own symmetry on top, 400 updates on clips of up to 0.7 s."
)


def _row(key: str, statement: str, target: float | None = None, **more: Any) -> Row:
    tried = {} if target is None else {"tried": _TRIED}
    return Row(f"slinky.esnn.3d.{key}", statement, target=target, **tried, **more)


def _rows() -> Iterator[Row]:
    for law, who in _LAWS.items():
        for key, words in _WORDS.items():
            must = not law and key in ("out_of_plane", "torsional")
            yield _row(
                f"{law}{key}", f"{who}: {words}: {_MEAN}.", 0.1 if must else None
            )
    yield _row(
        "over_classic",
        "Network over six springs: geometric mean of the three tests' distances.",
    )
    for law, who in _LAWS.items():
        yield _row(
            f"{law}sideways",
            f"{who}: the same thrown aside, out of the plane alone: mean distance of "
            "centres over their largest mean way.",
        )
    yield _row(
        "equivariance",
        "Forces and torques over the radius, float32: turned about the Slinky's "
        "middle at random, largest difference over the largest force.",
        1e-5,
    )
    yield _row(
        "equivariance_moved",
        "The same, moved by up to 0.3 m too, where places are rounded more coarsely.",
    )
    yield _row(
        "energy_drift",
        "Drift of the energy over the peak of the kinetic one, worst of the motions, "
        "leapfrog of 2 ms, float32.",
        5e-3,
    )
    yield _row(
        "nodes",
        "Nodes of the rod against the helix made again from its rings, thrown aside: "
        "mean distance.",
        unit="m",
    )
    for name in _SPRINGS:
        unit = "N/m" if name.startswith(("stretch", "shear")) else "N m"
        yield _row(f"classic_{name}", f"Six springs, fitted: {name}.", unit=unit)
        yield _row(f"wire_{name}", f"Six springs from the wire: {name}.", unit=unit)


@slinky.part("rings", tuple(_rows()), full=_FULL, quick=_QUICK)
def rings(run: Run) -> Iterator[Claim]:
    """One record teaches, three motions test."""
    s = run.settings
    row = lambda key: run.row(f"slinky.esnn.3d.{key}")
    seen = {k: run.keep(k, lambda t=t: truth(t)) for k, t in s["throws"].items()}
    net = trained(run, seen[TAUGHT])
    wire = wire_springs(Slinky(2))
    natural = s["config"].natural
    chains = {
        "": net.chain,
        "classic_": net.springs,
        "coupled_": net.law,
        "wire_": dataclasses.replace(net.law, energy=ElasticRings.of(wire, natural)),
    }
    for name, fitted, own in zip(_SPRINGS, net.about["constants"], wire, strict=True):
        yield row(f"classic_{name}").measured(fitted)
        yield row(f"wire_{name}").measured(own)
    far: dict[str, dict[str, float]] = {}
    drift, drawn = [], {}
    for law, chain in chains.items():
        far[law] = {}
        for key, throw in s["throws"].items():
            path = follow(chain, throw, seen[key])
            taught = seen[key]["ts"] <= (s["config"].span if key == TAUGHT else np.inf)
            far[law][key] = distance(path.rings, ringed(seen[key]), taught)
            yield row(f"{law}{key}").measured(far[law][key])
            if key == "out_of_plane":
                drawn[law] = path
                yield row(f"{law}sideways").measured(
                    sideways(path.rings, ringed(seen[key]))
                )
            if not law:
                peak = path.energy["kinetic"].max()
                drift.append(np.abs(path.total - path.total[0]).max() / peak)
    ratio = [far[""][k] / far["classic_"][k] for k in _WORDS if k != TAUGHT]
    yield row("over_classic").measured(float(np.exp(np.mean(np.log(ratio)))))
    yield row("energy_drift").measured(max(drift))
    for key, shift in (("equivariance", 0.0), ("equivariance_moved", 0.3)):
        found = differences(net.chain, ringed(seen["out_of_plane"]), s["turns"], shift)
        yield row(key).measured(max(found))
    yield row("nodes").measured(float(seen["out_of_plane"]["nodes"]))
    draw(run, seen["out_of_plane"], drawn)


def truth(throw: Throw) -> dict[str, Any]:
    """The rod's motion as rings, and how far its nodes are from the helix made again
    from them."""
    rod, state, held = Slinky(throw.cycles).horizontal(by="ring")
    begin = pushed(state, held, across=throw.across, spin=throw.spin, waves=throw.waves)
    every = round(FRAME / 1e-3)
    moved = drop(
        rod,
        begin,
        held,
        throw.seconds,
        gravity=throw.gravity,
        save_every=every,
        strict=True,
    )
    own = to_rings(moved.nodes, np.moveaxis(moved.v[:, :3], 1, 2)).clamped()
    off = np.linalg.norm(from_rings(own.x, own.q) - moved.nodes, axis=-1)
    return {"ts": moved.ts, **vars(own), "nodes": off.mean()}


def ringed(seen: dict[str, np.ndarray]) -> Rings:
    """The rings of a kept motion."""
    return Rings(*(seen[k] for k in "xqvw"))


def trained(run: Run, seen: dict[str, np.ndarray]) -> FittedRings:
    """Law and network; a killed training goes on."""
    config, throw = run.settings["config"], run.settings["throws"][TAUGHT]
    return fit_rings(
        ring_record(seen["ts"], ringed(seen)),
        throw.world,
        config,
        out=run.scratch / "net",
        resume=True,
        tell=lambda row: run.progress(
            f"{row['phase']}: {row['step']} of {row['total']}"
        ),
    )


def wire_springs(own: Slinky) -> np.ndarray:
    r"""Springs of a cycle by the theory of helical springs: stretch
    $GJ/(2\pi R^3)$, shear $EI/(\pi R^3)$, twist $EI/(2\pi R)$, bend
    $EI\,GJ/(\pi R (EI + GJ))$."""
    ei, gj = float(own.own_section.bending_1), float(own.own_section.twisting)
    around, r = np.pi * own.radius, own.radius
    shear, bend = ei / (around * r**2), ei * gj / (around * (ei + gj))
    stretch, twist = 0.5 * gj / (around * r**2), 0.5 * ei / around
    return np.array([stretch, shear, shear, twist, bend, bend])


def follow(chain: RingChain, throw: Throw, seen: dict[str, np.ndarray]) -> RingPath:
    """The chain's motion from where the rod begins."""
    own = dataclasses.replace(chain, world=throw.world)
    return ring_path(own, seen["ts"], ringed(seen).at(0))


def distance(ours: Rings, true: Rings, which: np.ndarray) -> float:
    """Mean distance of tops and bottoms over the amplitude of the motion."""
    a, b = ours.ends()[which], true.ends()[which]
    mean = lambda gap: np.linalg.norm(gap, axis=-1).mean(axis=(1, 2))
    return float(mean(a - b).mean() / mean(b - b[:1]).max())


def sideways(ours: Rings, true: Rings) -> float:
    """The same of the centres, out of the plane."""
    gap = np.abs(ours.x - true.x)[..., 2].mean()
    return float(gap / np.abs(true.x[..., 2]).mean(axis=1).max())


def differences(
    chain: RingChain, true: Rings, turns: int, shift: float
) -> Iterator[float]:
    """How far forces of the turned chain are from the turned forces, over the largest
    one, at times of a motion."""
    forces = eqx.filter_jit(lambda c, x, q: c.forces(x, q))
    put = lambda a: jnp.asarray(a, jnp.float32)
    radius = float(chain.world.radius)
    rng = np.random.default_rng(0)
    for k in np.linspace(0, len(true.x) - 1, turns).astype(int):
        one = true.at(int(k))
        turn = Rotation.from_quat(rng.normal(size=4)).as_matrix()
        away = rng.uniform(-shift, shift, 3)
        x = one.x - one.x.mean(0)
        force, torque = (np.asarray(a) for a in forces(chain, put(x), put(one.q)))
        other, same = (
            np.asarray(a)
            for a in forces(chain, put(x @ turn.T + away), put(turn @ one.q))
        )
        gaps = np.abs(other - force @ turn.T), np.abs(same - torque) / radius
        yield float(max(g.max() for g in gaps) / np.abs(force).max())


def draw(run: Run, seen: dict[str, np.ndarray], drawn: dict[str, RingPath]) -> None:
    """The middle ring, thrown aside: its height and its way out of the plane."""
    middle = seen["x"].shape[1] // 2
    names = {"": "network", "classic_": "six springs, fitted"}
    with figure(run.figures / "rings.svg", 2, 4.5) as axes:
        for ax, k, label in zip(axes, (2, 1), ("aside z", "height y"), strict=True):
            own = {"ls": "", "marker": "o", "ms": 3.0, "color": COLOURS[4]}
            ax.plot(
                seen["ts"][::2], 1e3 * seen["x"][::2, middle, k], label="rod", **own
            )
            for (law, name), colour in zip(names.items(), COLOURS[:2], strict=True):
                path = drawn[law]
                line = 1e3 * path.rings.x[:, middle, k]
                ax.plot(path.ts, line, color=colour, label=name)
            ax.set(ylabel=f"{label} [mm]")
        below = {"loc": "lower center", "bbox_to_anchor": (0.5, -0.24)}
        axes[0].legend(frameon=False, ncols=3, **below)
        axes[0].set(title="The middle ring, thrown out of the plane")
        axes[1].set(xlabel="time [s]")
