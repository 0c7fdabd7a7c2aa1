"""Part `sensors` of study `latent`: the whole wake from a few sensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from ..data import Snapshots
from ..latent import (
    DecoderFitConfig,
    FieldCodec,
    GappyPOD,
    fit_decoder,
    leverage_sensors,
    reconstruction_errors,
    wall_sensors,
)
from ..systems import cylinder_wake
from ._claim import Claim
from ._field_figures import field_sheet
from ._figures import COLOURS, sheet
from ._latent import latent
from ._row import Row
from ._study import Run


SD = "Erichson et al. 2020"
WHERE = {
    "wall": "on the half circle of 36 cells radius",
    "leverage": "drawn by leverage",
}
SPLITS = {
    "interpolation": "51 of 151 snapshots left out at random",
    "extrapolation": "the last 51 of 151 snapshots left out",
}
COUNTS = (5, 10, 15)
CROP = 384  # cells behind the centre of the cylinder
WAKE = 1.0  # x from which on a cell belongs to the wake part [D]
# the linear rivals: name in an id -> way of GappyPOD, words
LINEAR = {
    "pod": ("modes", "as many POD modes as sensors, least squares"),
    "plus": ("training", "the same modes, map and ridge 5e-8 from training data"),
    "regression": (
        "regression",
        "the linear map from readings to these modes of least training error",
    ),
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "layer": ("with layer instead of batch norms", {"norm": "layer"}),
    "dropout": ("with dropout 0.1 after the first layer", {"dropout": 0.1}),
}
_CELLS = (
    "trained on cells without any scaling, as published, instead of POD coordinates"
)


class Case(NamedTuple):
    """A row of the table: where, how many, which snapshots are left out."""

    where: str
    num: int
    split: str

    @property
    def key(self) -> str:
        """In an id."""
        return f"{self.where}{self.num}_{self.split}"

    @property
    def words(self) -> str:
        """In a statement."""
        return f"{self.num} sensors {WHERE[self.where]}, {SPLITS[self.split]}"


CASES = [Case(w, p, s) for w in WHERE for p in COUNTS for s in SPLITS]
MAIN = [case for case in CASES if case.where == "wall" and case.num == 5]
_TRIED = "The published widths and rates; both norms, dropout 0.1."


def _rows() -> Iterator[Row]:
    for case in CASES:
        name, is_main = f"latent.sensors.{case.key}", case in MAIN
        what = "Relative error of the vorticity's deviation from the training mean"
        yield Row(
            name,
            f"{what} on unseen snapshots, shallow decoder, {case.words}.",
            target=0.05 if is_main else None,
            tried=_TRIED if is_main else None,
        )
        yield Row(f"{name}_field", f"The same of the whole field, {case.words}.")
        for key, (_, words) in LINEAR.items():
            yield Row(f"{name}_{key}", f"{what}, {words}: {case.words}.")
            yield Row(
                f"{name}_{key}_field", f"Relative error of the field, {words}: "
                f"{case.words}.",
            )  # fmt: skip
        if is_main:
            yield from _main_rows(case)
    yield Row(
        "latent.sensors.cells",
        f"Error of the deviation on unseen snapshots, {MAIN[1].words}, {_CELLS}.",
        scaled_down="one seed instead of three",
    )
    yield Row("latent.sensors.cells_seconds", f"Time of that training: {_CELLS}.", "s")
    yield Row(
        "latent.sensors.seconds", "Time of a training in POD coordinates, median.", "s"
    )


def _main_rows(case: Case) -> Iterator[Row]:
    name = f"latent.sensors.{case.key}"
    yield Row(
        f"{name}_over_pod",
        f"Error of the shallow decoder's deviation over that of POD, {case.words}.",
        target=0.2,
        tried=_TRIED,
    )
    yield Row(
        f"{name}_over_regression",
        f"The same over that of the linear map of least training error, {case.words}.",
    )
    yield Row(f"{name}_train", f"Error of the deviation on the training, {case.words}.")
    for key, words in (("", "shallow decoder"), ("_pod", "POD, least squares")):
        yield Row(
            f"{name}{key}_wake",
            f"Relative error of the field behind x = {WAKE:g} D alone, {words}, "
            f"{case.words}.",
        )
    for key, (words, _) in VARIANTS.items():
        yield Row(
            f"{name}_{key}",
            f"Error of the deviation on unseen snapshots {words}, {case.words}.",
        )


@latent.part(
    "sensors",
    tuple(_rows()),
    full={
        "seeds": 3,
        "epochs": 4000,
        "train": 100,
        "rank": None,
        "wake": True,
        "radius": 36.0,
    },
    quick={
        "seeds": 1,
        "epochs": 20,
        "train": 20,
        "rank": 15,
        "wake": False,
        "radius": 8.0,
    },
)
def sensors(run: Run) -> Iterator[Claim]:
    """Every seed draws its sensors, weights and (at random) snapshots."""
    s = run.settings
    bench = _Bench(run)
    times: list[float] = []
    for case in CASES:
        found = [bench.measured(case, seed) for seed in range(s["seeds"])]
        gather = lambda key, found=found: np.array([float(f[key]) for f in found])
        times += list(gather("seconds"))
        name = f"latent.sensors.{case.key}"
        yield run.row(name).measured(gather("decoder"))
        yield run.row(f"{name}_field").measured(gather("decoder_field"))
        for key in LINEAR:
            yield run.row(f"{name}_{key}").measured(gather(key))
            yield run.row(f"{name}_{key}_field").measured(gather(f"{key}_field"))
        if case not in MAIN:
            continue
        for rival in ("pod", "regression"):
            ratio = gather("decoder") / gather(rival)
            yield run.row(f"{name}_over_{rival}").measured(ratio)
        yield run.row(f"{name}_train").measured(gather("train"))
        yield run.row(f"{name}_wake").measured(gather("decoder_wake"))
        yield run.row(f"{name}_pod_wake").measured(gather("pod_wake"))
        for key in VARIANTS:
            values = [bench.variant(case, seed, key) for seed in range(s["seeds"])]
            yield run.row(f"{name}_{key}").measured(values)
    cells = bench.cells()
    yield run.row("latent.sensors.cells").measured(float(cells["decoder"]))
    yield run.row("latent.sensors.cells_seconds").measured(float(cells["seconds"]))
    bench.draw()
    yield run.row("latent.sensors.seconds").measured(times)


class _Bench:
    """The data, their splits and codecs, and what is trained on them."""

    def __init__(self, run: Run) -> None:
        self.run, self.settings = run, run.settings
        self.data = _cropped() if run.settings["wake"] else _made()
        self.rows = self.data.flat()
        self.codecs: dict[tuple[str, int], FieldCodec] = {}

    def split(self, case: Case, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """(training rows, unseen rows)."""
        count, order = self.settings["train"], np.arange(len(self.rows))
        if case.split == "interpolation":
            order = np.random.default_rng(seed).permutation(order)
        one, two = np.sort(order[:count]), np.sort(order[count:])
        return self.rows[one], self.rows[two]

    def codec(self, case: Case, seed: int) -> FieldCodec:
        """Of the training rows; one of each split is kept."""
        key = (case.split, seed if case.split == "interpolation" else 0)
        if key not in self.codecs:
            train, _ = self.split(case, seed)
            self.codecs = {
                key: FieldCodec.fit(train, reduced=True, rank=self.settings["rank"])
            }
        return self.codecs[key]

    def places(self, case: Case, seed: int) -> np.ndarray:
        """Where the sensors are."""
        key = jax.random.fold_in(jax.random.key(seed), case.num)
        if case.where == "leverage":
            basis = self.codec(case, seed).basis
            assert basis is not None
            return leverage_sensors(basis, case.num, key=key)
        return wall_sensors(
            self.data, case.num, key=key, radius=self.settings["radius"]
        )

    def config(self, seed: int, **changes: Any) -> DecoderFitConfig:
        """The published settings."""
        told: dict[str, Any] = {"epochs": self.settings["epochs"], "reduced": True}
        return DecoderFitConfig(**{**told, "seed": seed, **changes})

    def measured(self, case: Case, seed: int) -> dict[str, np.ndarray]:
        """Errors of the decoder and of its linear rivals."""
        name = f"{case.key}_{seed}"
        return {
            **self.run.keep(name, lambda: self.decoder(case, seed)),
            **self.run.keep(f"linear_{name}", lambda: self.linear(case, seed)),
        }

    def decoder(self, case: Case, seed: int) -> dict[str, Any]:
        """One training."""
        train, test = self.split(case, seed)
        codec, places = self.codec(case, seed), self.places(case, seed)
        fitted = fit_decoder(train, places, self.config(seed), codec=codec)
        shown = fitted.predict(test[:, places])
        out: dict[str, Any] = {"seconds": fitted.seconds, "places": places}
        out["train"] = fitted.score(train).deviation
        self.errors(out, "decoder", shown, test, codec)
        return out

    def linear(self, case: Case, seed: int) -> dict[str, Any]:
        """Three linear maps."""
        train, test = self.split(case, seed)
        codec, places = self.codec(case, seed), self.places(case, seed)
        out: dict[str, Any] = {}
        for key, (way, _) in LINEAR.items():
            one = GappyPOD(way=way).fit(train, places, codec)
            self.errors(out, key, one.predict(test[:, places]), test, codec)
        return out

    def errors(
        self,
        out: dict[str, Any],
        key: str,
        found: np.ndarray,
        test: np.ndarray,
        codec: FieldCodec,
    ) -> None:
        """Of the deviation, the field, and the field in the wake part; the last field
        is kept for the figure."""
        out[f"{key}_shown"] = found[-1].astype(np.float32)
        both = reconstruction_errors(found, test, codec.mean)
        out[key], out[f"{key}_field"] = both.deviation, both.field
        x = np.broadcast_to(self.data.axes["x"][:, None], self.data.grid)
        behind = x[self.data.mask] > WAKE
        part = (found[:, behind], test[:, behind], codec.mean[behind])
        out[f"{key}_wake"] = reconstruction_errors(*part).field

    def variant(self, case: Case, seed: int, key: str) -> float:
        """The error with another norm, or with dropout."""

        def compute() -> dict[str, Any]:
            train, test = self.split(case, seed)
            fitted = fit_decoder(
                train,
                self.places(case, seed),
                self.config(seed, **VARIANTS[key][1]),
                codec=self.codec(case, seed),
            )
            return {"error": fitted.score(test).deviation}

        return float(self.run.keep(f"{case.key}_{key}_{seed}", compute)["error"])

    def cells(self) -> dict[str, np.ndarray]:
        """The training on cells, which goes on after a kill."""
        case = MAIN[1]

        def compute() -> dict[str, Any]:
            train, test = self.split(case, 0)
            fitted = fit_decoder(
                train,
                self.places(case, 0),
                self.config(0, reduced=False),
                folder=self.run.scratch / "cells",
                seconds=120.0,
            )
            return {
                "decoder": fitted.score(test).deviation,
                "seconds": fitted.seconds,
            }

        return self.run.keep("cells", compute)

    def draw(self) -> None:
        """Both figures."""
        case = MAIN[1]
        found = self.measured(case, 0)
        _, test = self.split(case, 0)
        panels = {
            "computed": test[-1],
            f"shallow decoder, error {float(found['decoder']):.2g}": found[
                "decoder_shown"
            ],
            f"POD, error {float(found['pod']):.2g}": found["pod_shown"],
            f"linear regression, error {float(found['regression']):.2g}": found[
                "regression_shown"
            ],
        }
        path = self.run.figures / "sensors_fields.png"
        _fields(path, self.data, panels, found["places"])
        errors = {}
        for key in ("decoder", *LINEAR):
            for where in WHERE:
                errors[key, where] = [
                    [
                        float(self.measured(Case(where, p, "extrapolation"), k)[key])
                        for k in range(self.settings["seeds"])
                    ]
                    for p in COUNTS
                ]
        _by_count(self.run.figures / "sensors_errors.svg", errors)


def _cropped() -> Snapshots:
    """Our own wake behind the centre of the cylinder, 384 x 199 cells."""
    data = cylinder_wake()
    first = int(np.argmin(np.abs(data.axes["x"])))
    return data.crop(x=slice(first, first + CROP))


def _made() -> Snapshots:
    """Waves that travel behind a disc, for a quick run."""
    ts = np.arange(30.0)
    x, y = np.arange(24) * 0.1, np.arange(-12, 13) * 0.1
    phase = 3.0 * x[None, :, None] - 0.4 * ts[:, None, None]
    field = sum(
        0.5**n * np.cos(n * phase) * np.exp(-n * y**2) for n in range(1, 11)
    ) + np.exp(-(y**2))
    inside = np.hypot(x[:, None], y[None, :]) < 0.5
    return Snapshots.of(ts, field, axes={"x": x, "y": y}, mask=~inside)


def _fields(
    path: Any, data: Snapshots, panels: dict[str, np.ndarray], places: np.ndarray
) -> None:
    """Fields below each other with the sensors, one scale of colour."""
    x, y = data.axes.values()
    cells = np.argwhere(data.mask)[places]
    limit = float(np.quantile(np.abs(panels["computed"]), 0.99))
    fields = [data.unflat(row)[::2, ::2, 0] for row in panels.values()]
    with field_sheet(path, (7.0, 4.4), (2, 2), fields, (x, y), limit) as (_, axes):
        for ax, title in zip(axes, panels, strict=True):
            ax.plot(x[cells[:, 0]], y[cells[:, 1]], "k.", markersize=4)
            ax.set_title(title, fontsize=8)


def _by_count(path: Any, errors: dict[tuple[str, str], list[list[float]]]) -> None:
    """Errors over the number of sensors, the median and all seeds."""
    words = {
        "decoder": "shallow decoder",
        "pod": "POD",
        "plus": "POD plus",
        "regression": "linear regression",
    }
    with sheet(path, (7.0, 3.0), (1, 2), 9.0) as (_, axes):
        for ax, where in zip(axes, WHERE, strict=True):
            for colour, key in zip(COLOURS, words, strict=False):
                values = np.array(errors[key, where])
                middle = np.median(values, axis=1)
                ax.semilogy(COUNTS, middle, "-o", color=colour, label=words[key])
                for k in range(values.shape[1]):
                    ax.semilogy(COUNTS, values[:, k], ".", color=colour, markersize=3)
            ax.set_xticks(COUNTS)
            ax.set_xlabel(f"sensors {WHERE[where]}")
        axes[0].set_ylabel("error of the deviation, unseen")
        axes[0].legend(frameon=False, fontsize=8)
