"""Fields on a grid: cells of the domain, files, and what is refused."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import xarray

from pendula import ConfigError, DataError, ShapeError
from pendula.data import Snapshots, read_snapshots, write_snapshots


AXES = {"lat": [0.0, 60.0], "lon": [0.0, 1.0, 2.0]}


def some(**changes):
    rng = np.random.default_rng(0)
    mask = np.array([[True, False, True], [True, True, False]])
    how = {
        "axes": AXES,
        "mask": mask,
        "names": ("u", "v"),
        "units": ("m/s", "m/s"),
        "axis_units": ("degrees_north", "degrees_east"),
        "time_unit": "s",
        "attrs": {"Re": 100.0, "preset": "fast"},
        "licence": "CC0",
    }
    return Snapshots.of(
        np.arange(4) * 0.5, rng.normal(size=(4, 2, 3, 2)), **how | changes
    )


def test_flat_and_back():
    data = some()
    rows = data.flat()
    assert rows.shape == (4, 8)
    assert rows[2, 4] == data.values[2, 0, 0, 1]  # the second channel comes after
    back = data.unflat(rows, fill=0.0)
    assert np.array_equal(back[:, data.mask], data.values[:, data.mask])
    assert np.all(back[:, ~data.mask] == 0)
    assert np.isnan(data.unflat(rows[0])[~data.mask]).all()
    with pytest.raises(ShapeError, match="4 cells of 2 channels"):
        data.unflat(rows[:, 1:])


def test_weights_follow_the_latitude_only_where_there_is_one():
    data = some()
    assert np.allclose(data.weights(), [1, 1, 0.5, 0.5] * 2)
    plain = some(axes={"x": [0, 1], "y": [0, 1, 2]}, axis_units=("m", "m"))
    assert np.all(plain.weights() == 1)
    for unit in ("degree_north", "degrees_N", "degreeN"):
        turned = some(axes={"j": [0, 60], "i": [0, 1, 2]}, axis_units=(unit, ""))
        assert np.allclose(turned.weights(), data.weights())


def test_parts():
    data = some()
    assert data[1:3].ts.tolist() == [0.5, 1.0]
    assert data.select("v").values.shape == (4, 2, 3, 1)
    cut = data.crop(lon=slice(1, None))
    assert cut.grid == (2, 2)
    assert cut.axes["lon"].tolist() == [1, 2]
    with pytest.raises(ConfigError, match="no axis"):
        data.crop(depth=slice(1))
    with pytest.raises(ConfigError, match="there are u, v"):
        data.select("w")


def test_kelvin():
    data = some(units=("K", "m/s"))
    warm = data.in_celsius()
    assert warm.units == ("degree_Celsius", "m/s")
    assert np.allclose(warm.values[..., 0], data.values[..., 0] - 273.15)
    assert np.array_equal(warm.values[..., 1], data.values[..., 1])


@pytest.mark.parametrize("ending", ["nc", "npz"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_files_give_the_same_bits(tmp_path, ending, dtype):
    data = some()
    values = data.values.astype(dtype)
    values[:, ~data.mask] = np.nan
    data = Snapshots.of(
        data.ts,
        values,
        axes=AXES,
        names=("b", "a"),
        time_unit="D/U",
        attrs={"Re": 100.0, "size": [1, 2], "is_steady": False, "about": "a wake"},
        licence="CC0",
        origin={"made": "here"},
    )
    back = read_snapshots(write_snapshots(data, tmp_path / f"set.{ending}"))
    assert back.values.dtype == dtype
    assert np.array_equal(back.values, data.values, equal_nan=True)
    assert np.array_equal(back.ts, data.ts)
    assert np.array_equal(back.mask, data.mask)
    for name in ("names", "units", "time_unit", "axis_units", "licence"):
        assert getattr(back, name) == getattr(data, name), name
    assert dict(back.attrs) == dict(data.attrs)
    assert dict(back.origin) == dict(data.origin)
    assert all(np.array_equal(back.axes[n], x) for n, x in data.axes.items())
    counted = dataclasses.replace(data, attrs={"Re": np.float32(40), "n": np.int64(2)})
    back = read_snapshots(write_snapshots(counted, tmp_path / f"n.{ending}"))
    assert dict(back.attrs) == {"Re": 40.0, "n": 2}
    mine = read_snapshots(tmp_path / f"set.{ending}", licence="mine")
    assert mine.licence == "mine"
    one = read_snapshots(tmp_path / f"set.{ending}", "a")
    assert np.array_equal(one.values, data.select("a").values, equal_nan=True)


def _foreign(path, values, count=3, since="2003-01-01 12:00:00", **attrs):
    days = np.arange(float(count)), {"units": f"days since {since}"}
    days = ("time", *days)
    coords = {"time": days, "lat": [-42.0, -41.0], "lon": [147.0, 148.0]}
    coords["lat"] = ("lat", coords["lat"], {"units": "degrees_north"})
    packed = (("time", "lat", "lon"), values, attrs)
    xarray.Dataset({"sst": packed}, coords).to_netcdf(path, engine="h5netcdf")


def test_a_file_of_the_cf_conventions(tmp_path):
    """Packed numbers, land by its fill value, dated times."""
    stored = np.arange(12, dtype=np.int16).reshape(3, 2, 2)
    stored[:, 0, 1] = -999
    about = {"scale_factor": 0.5, "add_offset": 280.0, "units": "kelvin"}
    _foreign(tmp_path / "sea.nc", stored, missing_value=np.int16(-999), **about)
    data = read_snapshots(tmp_path / "sea.nc")
    assert data.mask.tolist() == [[True, False], [True, True]]
    assert data.values[1, 1, 0, 0] == 280.0 + 0.5 * 6
    assert data.ts.tolist() == [0.0, 86400.0, 172800.0]
    assert data.origin["epoch"] == "2003-01-01T12:00:00"
    assert data.in_celsius().values[0, 0, 0, 0] == pytest.approx(6.85)
    assert data.weights()[0] == pytest.approx(np.cos(np.deg2rad(42)))


@pytest.mark.parametrize(
    ("since", "epoch"),
    [
        ("1800-1-1 00:00:0.0", "1800-01-01T00:00:00"),
        ("1-1-1 6:30:0", "0001-01-01T06:30:00"),
        ("2000-01-01T00:00:00.5Z", "2000-01-01T00:00:00.500000"),
        ("2000-01-01 00:00:00 +0:00", "2000-01-01T00:00:00+00:00"),
        ("the flood", None),
    ],
)
def test_dates_as_they_are_written(tmp_path, since, epoch):
    _foreign(tmp_path / "sea.nc", np.ones((3, 2, 2)), since=since)
    assert read_snapshots(tmp_path / "sea.nc").origin.get("epoch") == epoch


def test_whole_numbers_without_a_sign(tmp_path):
    stored = np.arange(190, 202, dtype=np.uint8).reshape(3, 2, 2) * 5
    stored[:, 0, 1] = 255
    wanted = np.where(stored == 255, np.nan, stored.astype(float))
    _foreign(tmp_path / "sea.nc", stored, _FillValue=np.uint8(255))
    data = read_snapshots(tmp_path / "sea.nc")
    assert np.array_equal(data.values[..., 0], wanted, equal_nan=True)
    about = {"_Unsigned": "true", "_FillValue": np.int8(-1)}
    _foreign(tmp_path / "old.nc", stored.view(np.int8), **about)
    data = read_snapshots(tmp_path / "old.nc")
    assert np.array_equal(data.values[..., 0], wanted, equal_nan=True)


def test_cells_with_gaps(tmp_path):
    values = np.ones((3, 2, 2))
    values[2, 1, 0] = np.nan
    _foreign(tmp_path / "sea.nc", values)
    with pytest.raises(DataError, match=r"snapshot 2 at cell \(1, 0\)"):
        read_snapshots(tmp_path / "sea.nc")
    data = read_snapshots(tmp_path / "sea.nc", gaps="mask")
    assert data.num_cells == 3
    with pytest.raises(ConfigError, match="expected"):
        read_snapshots(tmp_path / "sea.nc", gaps="drop")
    with pytest.raises(ConfigError, match="Fields: sst"):
        read_snapshots(tmp_path / "sea.nc", "sss")


def test_files_that_cannot_be_read(tmp_path):
    whole = write_snapshots(some(), tmp_path / "whole.npz").read_bytes()
    for name, content in (
        ("cut.nc", b"\x89HDF\r\n\x1a\n" + bytes(20)),
        ("classic.nc", b"CDF\x01" + bytes(9)),
        ("text.nc", b"time,u\n0,1\n"),
        ("cut.npz", whole[: len(whole) // 2]),
        ("turned.npz", whole[:300] + b"????" + whole[304:]),
        ("text.npz", b"time,u\n0,1\n"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="is not a whole N"):
            read_snapshots(tmp_path / name)
    np.savez(tmp_path / "newer.npz", allow_pickle=False, pendula_snapshots=9)
    with pytest.raises(DataError, match="has format 9"):
        read_snapshots(tmp_path / "newer.npz")
    _foreign(tmp_path / "empty.nc", np.ones((0, 2, 2)), count=0)
    with pytest.raises(DataError, match="no snapshots in it"):
        read_snapshots(tmp_path / "empty.nc")
    with pytest.raises(DataError, match="no such file"):
        read_snapshots(tmp_path / "none.nc")
    np.savez(tmp_path / "other.npz", allow_pickle=False, x=np.zeros(3))
    with pytest.raises(DataError, match="no snapshots"):
        read_snapshots(tmp_path / "other.npz")
    xarray.Dataset({"x": ("time", [1.0])}).to_netcdf(
        tmp_path / "line.nc", engine="h5netcdf"
    )
    with pytest.raises(DataError, match="no variable over"):
        read_snapshots(tmp_path / "line.nc")
    for name in ("lat", "time", "a/b", ""):
        with pytest.raises(ConfigError, match="Rename"):
            write_snapshots(some(names=(name, "v")), tmp_path / "a.nc")
    with pytest.raises(ConfigError, match="written as"):
        write_snapshots(some(), tmp_path / "a.csv")


def test_unequal_spacing_is_named():
    with pytest.raises(DataError, match="OptimizedDMD"):
        _ = (
            some(time_unit="s")
            .__class__.of([0.0, 1.0, 3.0], np.ones((3, 2)), axes={"x": [0, 1]})
            .dt
        )
    with pytest.raises(DataError, match="at least two"):
        _ = some()[:1].dt


@pytest.mark.parametrize(
    ("values", "how", "error", "words"),
    [
        (np.ones((2, 3)), {"axes": {"x": [0, 1]}}, ShapeError, "expected"),
        (np.ones((2, 2)), {"mask": np.ones(3, bool)}, ShapeError, "mask"),
        (np.ones((2, 2)), {"mask": np.zeros(2, bool)}, DataError, "no cell"),
        (np.ones((2, 2)), {"units": ("m", "s")}, ConfigError, "units"),
        ([[1.0, np.inf], [1.0, 1.0]], {}, DataError, r"cell \(1,\)"),
        ([[1.0, 1.0], [np.nan, 1.0]], {}, DataError, "snapshot 1"),
        (np.ones((2, 2)) * 1j, {}, DataError, "expected real numbers"),
        (np.ones((2, 2)), {"axes": {"x": ["a", "b"]}}, DataError, 'axis "x"'),
        (np.ones((2, 2)), {"axes": {"x": [0, np.nan]}}, DataError, "not finite"),
        (np.ones((2, 2, 2)), {"names": ("u", "u")}, ConfigError, "a name of its own"),
    ],
)
def test_bad_input(values, how, error, words):
    with pytest.raises(error, match=words):
        Snapshots.of([0, 1], values, **{"axes": {"x": [0, 1]}} | how)


def test_times_must_increase():
    with pytest.raises(DataError, match="sort the snapshots"):
        Snapshots.of([0, 0], np.ones((2, 2)), axes={"x": [0, 1]})


@pytest.mark.skipif("PENDULA_DATA" not in os.environ, reason="needs PENDULA_DATA")
def test_measured_sea_surface_temperatures():
    folder = Path(os.environ["PENDULA_DATA"]) / "sst"
    if not folder.is_dir():
        pytest.skip("the folder sst is not there")
    data = read_snapshots(folder / "oisst_daily_tasmania_2003_2004.nc")
    assert len(data) == 731
    assert data.num_cells == 12
    assert data.dt == 86400.0
    tropics = read_snapshots(folder / "ostia_tropics_monthly_2006_2010.nc")
    assert tropics.grid == (18, 432)
    assert tropics.units == ("K",)
    assert 10 < tropics.in_celsius().flat().mean() < 35
