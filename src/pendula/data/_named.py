"""Measured data sets that Pendula knows by name: columns, units, parts, licence.

The data themselves are not shipped and never downloaded silently: `load` looks in
the folder that `PENDULA_DATA` names and in the user's cache folder.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import DataError, nearest
from ._cache import cache_folder, fetched, fetched_folder, fetched_record
from ._csv import read_csv
from ._image_sets import IMAGE_SETS
from ._read import read
from ._trajectories import Trajectories


@dataclasses.dataclass(frozen=True)
class Named:
    """What the table knows of one set.

    `files`: paths below the data folder (one trajectory each, unless `options`
    says otherwise); `options`: those of `read_csv`; `zero`: the angle [rad] at
    which an angle channel hangs at rest; `parts`: name -> `labels` of trajectories
    and `between` two times (first inside, last outside); `env`: label prefix ->
    index of the system; `params`: that index -> parameters `param_names`;
    `score_from`: first sample that counts in a score.
    """

    files: tuple[str, ...]
    about: str
    licence: str | None
    citation: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    zero: Mapping[str, float] = dataclasses.field(default_factory=dict)
    parts: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    env: Mapping[str, int] = dataclasses.field(default_factory=dict)
    params: tuple[tuple[float, ...], ...] = ()
    param_names: tuple[str, ...] = ()
    time_unit: str | None = None
    score_from: int = 0


def _runs(prefix: str, *numbers: int) -> list[str]:
    return [f"{prefix}{k:02d}" for k in numbers]


_KAHEMAN = "Kaheman et al., The experimental multi-arm pendulum on a cart, 2022"
_DFKI = "github.com/dfki-ric-underactuated-lab"
_BLASIUS = "Blasius et al., Nature 577, 226-230 (2020)"


def _multiarm(file: str, links: int, cut: float) -> Named:
    """Angles only: the rates in the files were smoothed with later samples."""
    angles = tuple(f"theta{k + 1}" for k in range(links))
    what = file.replace("single_freeswing_raw", "single (raw record)")
    return Named(
        (f"multiarm_pendulum/{file}.csv",),
        f"{what} pendulum, free swing with friction, 250 Hz; pi hangs",
        "MIT",
        _KAHEMAN,
        {"channels": angles, "units": dict.fromkeys(angles, "rad")},
        dict.fromkeys(angles, math.pi),
        {
            "train": {"between": [None, cut - 0.002]},
            "validation": {"between": [cut - 0.002, None]},
        }
        if cut
        else {},
    )


_DOUBLE_UNITS = {
    "q1": "rad",
    "q2": "rad",
    "dq1": "rad/s",
    "dq2": "rad/s",
    "tau1": "N m",
    "tau2": "N m",
}
_A0, _C0, _C1 = (
    _runs("A0_", *range(6)),
    _runs("C0_", *range(7)),
    _runs("C1_", *range(6)),
)
_SIMPLE = ("sysid_pd", "ddp", "sac", "energy_0p5kg", "energy_1kg")
_SIMPLE_UNITS = {"q": "rad", "dq": "rad/s", "tau": "N m"}
_CHEMOSTATS = ("C1", "C2", "C3", "C5", "C6", "C7", "C9", "C10")
_DENSITIES = {"algae": "1e6/ml", "rotifers": "1/ml", "medium_N": "umol/l"}
_SILVER_DT = 2.0**14 / 1e7
_BALLS = (
    "baseball",
    "blue_basketball",
    "green_basketball",
    "volleyball",
    "bowling_ball",
    "golf_ball",
    "tennis_ball",
    "whiffle_ball_1",
    "whiffle_ball_2",
    "yellow_whiffle_ball",
    "orange_whiffle_ball",
)


def _samples(start: int, stop: int) -> dict[str, list[float]]:
    """A slice of the Silverbox record as times half a sample before each end."""
    return {"between": [(start - 0.5) * _SILVER_DT, (stop - 0.5) * _SILVER_DT]}


def _chemostat(*which: str, driven: bool) -> Named:
    columns = ("algae", "rotifers", *(("medium_N",) if driven else ()))
    single = which == ("C9",)
    return Named(
        tuple(f"chemostat_predator_prey/{w}.csv" for w in which),
        "algae and rotifers in a chemostat, about daily"
        + (", medium switched every four days" if single else ""),
        "CC BY 4.0",
        _BLASIUS,
        {
            "channels": ("algae", "rotifers"),
            "inputs": columns[2:],
            "input_kind": "held",
            "units": {name: _DENSITIES[name] for name in columns},
        },
        parts={
            "train": {"between": [None, 40.0]},
            "validation": {"between": [40.0, 50.0]},
            "test": {"between": [50.0, None]},
        }
        if single
        else {},
        env={f"{w}": k for k, w in enumerate(which)} if len(which) > 1 else {},
    )


NAMED: dict[str, Named] = {
    "multiarm_pendulum/single": _multiarm("single", 1, 36.668),
    "multiarm_pendulum/double": _multiarm("double", 2, 69.344),
    "multiarm_pendulum/triple": _multiarm("triple", 3, 33.860),
    "multiarm_pendulum/single_freeswing_raw": _multiarm("single_freeswing_raw", 1, 0.0),
    "silverbox": Named(
        ("silverbox/snls80mv.csv",),
        "electronic Duffing oscillator, driven, 131 072 samples at 610.35 Hz",
        "free for research with citation, no formal licence",
        "Wigren, Schoukens, Three free data sets for development and benchmarking "
        "in nonlinear system identification, ECC 2013",
        {
            "dt": _SILVER_DT,
            "channels": "y_V",
            "inputs": "u_V",
            "input_kind": "spline",
            "units": {"u_V": "V", "y_V": "V"},
        },
        # the first 75 % of the multisine are for training and validation, the last
        # 25 % for testing; the last fifth of the former is the validation part
        parts={
            "train": _samples(40650, 92700),
            "validation": _samples(92700, 105712),
            "test_multisine": _samples(105712, 127400),
            "test_arrow": _samples(100, 40575),
            "test_arrow_32000": _samples(100, 32100),
        },
        score_from=50,
    ),
    "dfki_double_pendulum": Named(
        tuple(f"dfki_double_pendulum/{run}.csv" for run in (*_A0, *_C0, *_C1)),
        "double pendulum with motors, three builds, 19 runs of 10 s at 250 Hz; 0 hangs",
        "BSD-3-Clause",
        f"{_DFKI}/double_pendulum, commit 1e8544e",
        {
            "channels": ("q1", "q2", "dq1", "dq2"),
            "inputs": ("tau1", "tau2"),
            "input_kind": "linear",
            "units": _DOUBLE_UNITS,
        },
        {"q1": 0.0, "q2": 0.0},
        {
            "train": {"labels": _A0[:5]},
            "validation": {"labels": _A0[5:]},
            "new_c0": {"labels": _C0},
            "new_c1": {"labels": _C1},
        },
        {"A0": 0, "C0": 1, "C1": 2},
        (
            (0.3, 0.2, 0.559, 0.604),
            (0.2, 0.3, 0.642, 0.564),
            (0.2, 0.3, 0.523, 0.626),
        ),
        ("l1", "l2", "m1", "m2"),
    ),
    "dfki_simple_pendulum": Named(
        tuple(f"dfki_simple_pendulum/{run}.csv" for run in _SIMPLE),
        "torque-limited pendulum, two masses, 5 runs of 4-40 s; 0 hangs",
        "BSD-3-Clause",
        f"{_DFKI}/torque_limited_simple_pendulum, commit ed17ea2",
        {
            "channels": ("q", "dq"),
            "inputs": ("tau",),
            "input_kind": "linear",
            "units": _SIMPLE_UNITS,
        },
        {"q": 0.0},
        {
            "train": {"labels": ["sysid_pd", "ddp"]},
            "validation": {"labels": ["sac"]},
            "test": {"labels": ["energy_0p5kg"]},
            "new": {"labels": ["energy_1kg"]},
        },
        {"energy_1kg": 1, "": 0},
    ),
    "ibm_double_pendulum": Named(
        tuple(f"ibm_double_pendulum/{run}.csv" for run in _runs("run", *range(14))),
        "chaotic double pendulum filmed, 14 runs of 44 s at 200 Hz; 0 hangs",
        "CDLA-Sharing-1.0",
        "Asseman, Kornuta, Ozcan, Learning beyond simulated physics, 2018",
        {"units": {"theta1": "rad", "theta2": "rad"}},
        {"theta1": 0.0, "theta2": 0.0},
        {
            "train": {"labels": _runs("run", *range(10))},
            "validation": {"labels": _runs("run", 10, 11)},
            "test": {"labels": _runs("run", 12, 13)},
        },
    ),
    "ball_drops": Named(
        ("ball_drops/drops.csv",),
        "eleven balls dropped from a bridge, two drops each, 15 frames a second",
        "MIT",
        "de Silva et al., Front. Artif. Intell. 3:25 (2020)",
        {"traj": ("ball", "drop"), "channels": "height", "units": {"height": "m"}},
        env={f"{ball}/": k for k, ball in enumerate(_BALLS)},
    ),
    "chemostat_predator_prey": _chemostat(*_CHEMOSTATS, driven=True),
    **{
        f"chemostat_predator_prey/{which}": _chemostat(which, driven=which == "C9")
        for which in _CHEMOSTATS
    },
    "hare_lynx": Named(
        ("hare_lynx/hare_lynx.csv",),
        "hare and lynx pelts, Hudson Bay, 90 years",
        "public domain",
        "MacLulich 1937; Elton, Nicholson 1942",
        {"units": {"hare": "pelts", "lynx": "pelts"}},
        parts={
            "train": {"between": [None, 1889.5]},
            "validation": {"between": [1889.5, 1904.5]},
            "test": {"between": [1904.5, None]},
        },
    ),
    **{
        f"electrochemical_oscillator/condition_{which}": Named(
            (f"electrochemical_oscillator/condition_{which}.csv",),
            "chaotic electrochemical oscillation; step and unit not stated",
            "MIT",
            "github.com/JuliaDynamics/NonlinearDynamicsTextbook; arXiv:2011.07040",
            {"dt": 1.0},
            time_unit="sample",
        )
        for which in "ab"
    },
}


def places() -> list[Path]:
    """Folders that may hold the sets: the one `PENDULA_DATA` names, its `real/`,
    and the cache's data folder."""
    given = os.environ.get("PENDULA_DATA")
    roots = [Path(given).expanduser()] if given else []
    roots.append(cache_folder() / "data")
    return [place for root in roots for place in (root / "real", root)]


def find_set(files: Iterable[str]) -> Path | None:
    """The folder below which all files of a set lie."""
    wanted = tuple(files)
    for place in places():
        if all((place / file).is_file() for file in wanted):
            return place
    return None


def not_here(name: str, file: str) -> DataError:
    """What is raised for a named set whose files are nowhere."""
    looked = ", ".join(str(p) for p in places())
    return DataError(
        f'the data set "{name}" is not here: no {file} in {looked}. Put the files '
        "there, or set PENDULA_DATA to the folder that holds them."
    )


def named() -> list[dict[str, Any]]:
    """The table as JSON-able records: name, kind (motions or images), about, licence,
    citation, whether the files are present, and where."""
    out = []
    for name, entry in {**NAMED, **IMAGE_SETS}.items():
        place = find_set(entry.files)
        out.append(
            {
                "name": name,
                "kind": "images" if name in IMAGE_SETS else "motions",
                "about": entry.about,
                "licence": entry.licence,
                "citation": entry.citation,
                "present": place is not None,
                "path": None if place is None else str(place / entry.files[0]),
            }
        )
    for name, record in fetched().items():
        path = fetched_folder() / name / record["file"]
        out.append(
            {
                "name": name,
                "kind": "motions",
                "about": f"fetched from {record['url']}",
                "licence": record["licence"],
                "citation": record["url"],
                "present": path.is_file(),
                "path": str(path),
            }
        )
    return out


def _nearest(name: str) -> str:
    """A hint at the set that may have been meant."""
    return nearest(name, [*NAMED, *IMAGE_SETS, *fetched()])


def load(name: str, **options: Any) -> Trajectories:
    """A named data set, such as `load("multiarm_pendulum/single")`.

    **Arguments:** `options` as for `read_csv`; they replace those of the table.
    **Returns:** `Trajectories` with units, angle flags, inputs, `env` and licence;
    `origin` holds `parts` (for `split` and `part`), `zero` (where an angle hangs),
    `score_from` and `citation`. The licence is None when the folder has no
    README.md that states it.
    **Raises:** `DataError` for an unknown name, and for a set that is not there.
    """
    if name in IMAGE_SETS:
        raise DataError(
            f'the data set "{name}" holds images, not motions. Read it with '
            f'load_images("{name}").'
        )
    if name not in NAMED:
        record = fetched_record(name)
        if record is not None:
            return _load_fetched(name, record, options)
        raise DataError(
            f'there is no data set "{name}".{_nearest(name)} `pendula data list` '
            "shows all."
        )
    entry = NAMED[name]
    place = find_set(entry.files)
    if place is None:
        raise not_here(name, entry.files[0])
    paths = [place / file for file in entry.files]
    readme = paths[0].parent / "README.md"
    data = read_csv(
        paths,
        **{
            **entry.options,
            "licence": entry.licence if readme.is_file() else None,
            **{key: value for key, value in options.items() if value is not None},
        },
    )
    env, params = _systems(entry, data.labels)
    return data.replace(
        env=env,
        params=params,
        param_names=entry.param_names,
        time_unit=entry.time_unit or data.time_unit,
        origin={
            **data.origin,
            "named": name,
            "citation": entry.citation,
            "parts": {k: dict(v) for k, v in entry.parts.items()},
            "zero": dict(entry.zero),
            "score_from": entry.score_from,
        },
    )


def _load_fetched(
    name: str, record: dict[str, str], options: dict[str, Any]
) -> Trajectories:
    """A set that `fetch` brought, with the licence it was given there."""
    data = read(fetched_folder() / name / record["file"], **options)
    told = {"named": name, "citation": record["url"]}
    return data.replace(
        licence=data.licence or record["licence"], origin={**data.origin, **told}
    )


def _systems(
    entry: Named, labels: tuple[str, ...]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """System index and parameters of every trajectory; the longest prefix wins."""
    if not entry.env:
        return None, None
    prefixes = sorted(entry.env, key=len, reverse=True)
    env = [
        next(entry.env[p] for p in prefixes if label == p or label.startswith(p))
        for label in labels
    ]
    params = np.array([entry.params[k] for k in env]) if entry.params else None
    return np.array(env), params


def open_data(
    path_or_name: str | Path | Iterable[str | Path], **options: Any
) -> Trajectories:
    """A file, a folder, several files, or a named set: what there is under that
    name. A path that exists comes first.

    **Raises:** `DataError` naming the nearest file or set when there is neither.
    """
    if isinstance(path_or_name, str | Path):
        path, text = Path(path_or_name), str(path_or_name)
        if not path.exists():
            if text in {**NAMED, **IMAGE_SETS} or fetched_record(text) is not None:
                return load(text, **options)
            if not path.suffix:
                raise DataError(
                    f'"{text}" is neither a file nor a folder nor a named data set.'
                    f"{_nearest(text)} Check the path; `pendula data list` shows "
                    "the sets."
                )
    return read(path_or_name, **options)
