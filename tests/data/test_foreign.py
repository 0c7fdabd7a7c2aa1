"""Files that other programs wrote, whole and broken."""

import datetime

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
import scipy.io
import xarray
import zarr

from pendula import _errors as errors
from pendula.data import (
    Trajectories,
    candidates,
    read,
    read_hdf5,
    read_netcdf,
    read_parquet,
    read_zarr,
    write,
)


T = np.linspace(0, 1, 6)
X = np.stack([np.sin(T), np.cos(T)], 1)
GAP = np.where(np.arange(6) == 2, np.nan, T)
ARRAYS = {
    "clock": T,
    "x": X,
    "gap": GAP,
    "count": np.arange(6),
    "wave": T * 1j,
    "long": np.ones(7),
    "inf": np.where(T > 0.5, np.inf, T),
    "back": T[::-1],
    "lost": GAP,
    "turned": X.T,
}


def hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[f"run/{name}"] = value
        file["run/word"] = ["a"] * 6


def netcdf(path, arrays):
    group = {n: (_dims(v), v) for n, v in arrays.items() if v.dtype.kind != "c"}
    group["wave"] = group["word"] = ("time", ["a"] * 6)
    xarray.Dataset(group).to_netcdf(path, group="run", engine="h5netcdf")


def _dims(value):
    sizes = {6: "time", 2: "axis", 7: "other"}
    return tuple(sizes[n] for n in value.shape)


def store(path, arrays):
    group = zarr.create_group(path, zarr_format=2).create_group("run")
    for name, value in {**arrays, "word": np.array(["a"] * 6)}.items():
        group.create_array(name, data=value)


def matlab(path, arrays):
    word = np.empty(6, object)
    word[:] = "a"
    scipy.io.savemat(path, {"run": {**arrays, "word": word}})


WRITERS = {".h5": hdf5, ".nc": netcdf, ".zarr": store, ".mat": matlab}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One file of each kind with the same arrays in a group."""
    folder = tmp_path_factory.mktemp("rigs")
    for ending, write_foreign in WRITERS.items():
        write_foreign(folder / f"rig{ending}", ARRAYS)
    return {ending: folder / f"rig{ending}" for ending in WRITERS}


@pytest.mark.parametrize("ending", WRITERS)
def test_arrays_of_a_group(files, ending):
    data = read(
        files[ending],
        time="run/clock",
        channels=["run/x", "run/gap"],
        inputs=["run/count"],
    )
    np.testing.assert_array_equal(data.ts[0], T)
    np.testing.assert_array_equal(data.ys[0, :, :2], X)
    np.testing.assert_array_equal(data.mask[0].sum(axis=0), [6, 6, 5])
    assert data.ys[0, 2, 2] == 0
    assert data.names == ("x_0", "x_1", "gap")
    assert (data.labels, data.input_names) == (("rig",), ("count",))
    assert data.origin["files"][0]["rows"] == 6
    assert len(data.origin["files"][0]["sha256"]) == 64


BAD = {
    "nothing said": ({}, r"is not a file of Pendula's own.*run/"),
    "unknown": ({"channels": "run/xx"}, 'no array "run/xx". Did you mean "run/x"'),
    "unknown time": ({"time": "clock", "channels": "run/x"}, 'mean "run/clock"'),
    "complex": ({"channels": "run/wave"}, "not an array of real numbers"),
    "text": ({"channels": "run/word"}, "not an array of real numbers"),
    "shape": ({"channels": "run/long"}, r"shape \(7,\) does not fit"),
    "transposed": ({"channels": "run/turned"}, r"shape \(2, 6\) .*Transpose it"),
    "infinite": ({"channels": "run/inf"}, "value is infinite"),
    "backwards": ({"time": "run/back", "channels": "run/x"}, "Times must increase"),
    "lost time": ({"time": "run/lost", "channels": "run/x"}, "time is missing"),
    "lost input": ({"inputs": "run/gap", "channels": "run/x"}, "input must be known"),
    "traj": ({"traj": "run/x", "channels": "run/x"}, "--traj does not apply"),
}


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("case", BAD)
def test_bad_requests(files, ending, case):
    options, sentence = BAD[case]
    options = options and {"time": "run/clock", **options}
    with pytest.raises(errors.PendulaError, match=sentence) as caught:
        read(files[ending], **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", WRITERS)
def test_candidates(files, ending):
    found = candidates(files[ending])
    assert found["time"] in ("run/clock", "run/count")
    assert {"run/x", "run/gap"} <= set(found["channels"])
    assert not {"run/wave", "run/word", "run/long"} & set(found["channels"])
    rows = {row["name"]: row for row in found["arrays"]}
    assert rows["run/x"]["shape"] == [6, 2]


def test_no_candidates_where_the_file_says_it(tmp_path):
    (tmp_path / "a.csv").write_text("t,q\n0,1\n1,2\n")
    assert candidates(tmp_path / "a.csv") is None
    own = Trajectories.from_arrays(T, X)
    assert candidates(write(own, tmp_path / "a.h5")) is None
    np.savez(tmp_path / "b.npz", a=np.zeros(3), b=np.array(3.0), c=np.zeros((0, 2)))
    found = candidates(tmp_path / "b.npz")
    assert (found["time"], found["channels"]) == (None, [])


ENDINGS = (".npz", ".mat", ".h5", ".nc", ".parquet")


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_that_are_cut_short_or_something_else(tmp_path, ending):
    path = write(Trajectories.from_arrays(T, X), tmp_path / f"a{ending}")
    whole = path.read_bytes()
    cuts = (0, 3, 100, len(whole) // 2, len(whole) - 1)
    for content in (*(whole[:n] for n in cuts), b"t,q\n0,1\n1,2\n", b"\0" * 2000):
        path.write_bytes(content)
        with pytest.raises(errors.DataError, match=rf"a\{ending}: .*not a whole"):
            read(path, time="t", channels="q") if ending != ".parquet" else read(path)
    path.unlink()
    with pytest.raises(errors.DataError, match="no such file"):
        read(path)


@pytest.mark.parametrize("ending", [".h5", ".nc", ".parquet", ".mat"])
def test_a_bent_byte_is_no_number(tmp_path, ending):
    """Checksums: what was changed on the disk is refused, not read."""
    t = np.linspace(0, 1, 4096)
    rough = np.random.default_rng(0).normal(size=(4096, 2))
    path = write(Trajectories.from_arrays(t, rough), tmp_path / f"a{ending}")
    bent = bytearray(path.read_bytes())
    bent[len(bent) // 2] ^= 0x10
    path.write_bytes(bytes(bent))
    with pytest.raises(errors.DataError, match="not a whole"):
        read(path)


def test_a_zarr_store_with_a_lost_file(tmp_path):
    path = write(Trajectories.from_arrays(T, X), tmp_path / "a.zarr")
    (path / "ys" / "c" / "0" / "0" / "0").unlink()
    with pytest.raises(errors.DataError, match='"ys": 0 of 1 chunks are there'):
        read(path)
    (path / "ys" / "zarr.json").write_text("{")
    with pytest.raises(errors.DataError, match="not a whole Zarr"):
        read(path)
    (path / "zarr.json").unlink()
    with pytest.raises(errors.DataError, match="not a Zarr store"):
        read(path)
    (tmp_path / "b.zarr").write_bytes(b"PK")
    with pytest.raises(errors.DataError, match="not a Zarr store"):
        read(tmp_path / "b.zarr")
    with pytest.raises(errors.DataError, match="no such file"):
        read(tmp_path / "c.zarr")


def test_a_zarr_store_without_its_ending(tmp_path):
    path = write(Trajectories.from_arrays(T, X), tmp_path / "a.zarr")
    with pytest.raises(errors.DataError, match=r"Rename it to plain\.zarr"):
        read(path.rename(tmp_path / "plain"))


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_as_xarray_writes_it(tmp_path, version):
    """Missing integers and dates, in both versions of the format."""
    days = np.array(["2024-01-01", "2024-01-02", "2024-01-04"], "datetime64[ns]")
    level = xarray.Variable("time", [1.0, np.nan, 3.0], {"units": "m"})
    packed = {"dtype": "int16", "_FillValue": -99, "scale_factor": 0.5}
    sea = xarray.Dataset({"level": level}, coords={"time": days})
    sea.to_zarr(
        tmp_path / "sea.zarr",
        zarr_format=version,
        encoding={"level": packed},
        consolidated=False,
    )
    data = read_zarr(tmp_path / "sea.zarr", time="time", channels="level")
    np.testing.assert_array_equal(data.ts[0], [0, 86400, 3 * 86400])
    np.testing.assert_array_equal(data.ys[0, :, 0], [1, 0, 3])
    np.testing.assert_array_equal(data.mask[0, :, 0], [True, False, True])
    assert data.origin["epoch"] == "2024-01-01T00:00:00"
    level.attrs.clear()
    floats = xarray.Dataset({"level": level.fillna(-5.0)})
    floats.to_zarr(
        tmp_path / "b.zarr",
        zarr_format=version,
        encoding={"level": {"_FillValue": -5.0}},
        consolidated=False,
    )
    data = read_zarr(tmp_path / "b.zarr", dt=1.0, channels="level")
    np.testing.assert_array_equal(data.mask[0, :, 0], [True, False, True])


def test_a_single_zarr_array(tmp_path):
    zarr.create_array(tmp_path / "level.zarr", data=T)
    data = read(tmp_path / "level.zarr", dt=0.5, channels="level")
    np.testing.assert_array_equal(data.ys[0, :, 0], T)


def test_netcdf_3_and_fill_values(tmp_path):
    path = tmp_path / "old.nc"
    with scipy.io.netcdf_file(path, "w") as file:
        file.createDimension("time", 4)
        time = file.createVariable("time", "i4", ("time",))
        time[:] = [0, 6, 12, 24]
        time.units = "hours since 2000-1-1 00:00"
        level = file.createVariable("level", "f4", ("time",))
        level[:] = [1, 9.969209968386869e36, 2, 1e20]  # never written; declared
        level.missing_value = np.float32(1e20)
        flow = file.createVariable("flow", "i2", ("time",))
        flow[:] = [5, 7, -1, 200]
        flow.valid_range = np.array([0, 100], "i2")
        flow.add_offset = 10.0
    data = read(path, time="time", channels=("level", "flow"))
    np.testing.assert_array_equal(data.ts[0], 3600 * np.array([0, 6, 12, 24.0]))
    np.testing.assert_array_equal(data.ys[0], [[1, 15], [0, 17], [2, 0], [0, 0]])
    np.testing.assert_array_equal(data.mask[0], [[1, 1], [0, 1], [1, 0], [0, 0]])
    assert data.origin["epoch"] == "2000-01-01T00:00:00"
    whole = path.read_bytes()
    for cut in (8, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:cut])
        with pytest.raises(errors.DataError, match="not a whole NetCDF"):
            read(path, time="time", channels="level")
    path.write_bytes(b"CDF\x05" + whole[4:])
    with pytest.raises(errors.DataError, match="CDF-5"):
        read(path, time="time", channels="level")


UNITS = {
    "days since 2000-01-01": (86400.0, "2000-01-01T12:00:00"),
    "s since 1999-12-31 23:59:59.5Z": (1.0, "2000-01-01T00:00:00"),
    "Hours since 0000-00-00": (3600.0, None),  # no date: climatology
    "milliseconds since start of run": (1e-3, None),
    "min since 2000-01-01T00:00:00 UTC": (60.0, "2000-01-01T00:00:30"),
}


@pytest.mark.parametrize("unit", UNITS)
def test_dates(tmp_path, unit):
    factor, epoch = UNITS[unit]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t"] = 0.5 + np.arange(3)
        file["t"].attrs["units"] = unit
        file["q"] = np.arange(3.0)
    data = read_hdf5(tmp_path / "a.h5", time="t", channels="q")
    np.testing.assert_array_equal(data.ts[0], factor * np.arange(3))
    assert (data.time_unit, data.origin.get("epoch")) == ("s", epoch)


def test_dates_in_whole_numbers_of_small_types(tmp_path):
    for counts, kind in (([-30000, 0, 30000], np.int16), ([10, 20, 200], np.uint8)):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["t"] = np.array(counts, kind)
            file["t"].attrs["units"] = "ns since 2000-01-01"
            file["q"] = np.arange(3.0)
        data = read_hdf5(tmp_path / "a.h5", time="t", channels="q")
        np.testing.assert_allclose(data.ts[0], 1e-9 * (np.array(counts) - counts[0]))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["t"][...] = [10, 20, 5]
    with pytest.raises(errors.DataError, match="-5e-09 after 1e-08"):
        read_hdf5(tmp_path / "a.h5", time="t", channels="q")


def test_units_of_unequal_length_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t"] = np.arange(3.0)
        file["t"].attrs["units"] = "months since 2000-01-01"
        file["q"] = np.arange(3.0)
    with pytest.raises(errors.DataError, match="months have no fixed length"):
        read_hdf5(tmp_path / "a.h5", time="t", channels="q")


def test_other_calendars_count_alike(tmp_path):
    time = ("time", [0.0, 1.0], {"units": "days since 2001-02-28"})
    time[2]["calendar"] = "noleap"
    sea = xarray.Dataset({"q": ("time", [1.0, 2.0])}, coords={"time": time})
    sea.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    data = read_netcdf(tmp_path / "a.nc", time="time", channels="q")
    np.testing.assert_array_equal(data.ts[0], [0, 86400])
    assert "epoch" not in data.origin


def test_hdf5_units_compound_arrays_and_several_trajectories(tmp_path):
    rows = np.zeros(4, [("t", "f8"), ("q", "f4"), ("pair", "f4", 2)])
    rows["t"], rows["q"] = np.arange(4), [0, 90, 180, 270]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["table"] = rows
        file["time"] = np.stack([T, T + 1])
        file["theta"] = np.stack([X[:, 0], X[:, 1]]) * 90
        file["theta"].attrs["units"] = "deg"
        file["empty"] = h5py.Empty("f8")
    data = read(tmp_path / "a.h5", time="table/t", channels="table/q")
    np.testing.assert_array_equal(data.ys[0, :, 0], [0, 90, 180, 270])
    data = read(tmp_path / "a.h5", time="time", channels="theta")
    assert (data.num, data.labels) == (2, ("0", "1"))
    assert (data.units, data.angle) == (("rad",), (True,))
    np.testing.assert_allclose(data.ys[0, :, 0], X[:, 0] * np.pi / 2, rtol=1e-15)
    with pytest.raises(errors.ConfigError, match='no array "table/pair"'):
        read(tmp_path / "a.h5", time="time", channels="table/pair")
    with pytest.raises(errors.ConfigError, match="same name"):
        read(tmp_path / "a.h5", time="time", channels="theta", inputs="theta")


def test_matlab_7_3(tmp_path):
    """An HDF5 file with a head of MATLAB's, whose axes stand in reverse order."""
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in (("t", T[None]), ("x", X.T), ("word", np.array([[97, 98]]))):
            file[f"run/{name}"] = value
            file[f"run/{name}"].attrs["MATLAB_class"] = np.bytes_("double")
        file["run/word"].attrs["MATLAB_class"] = np.bytes_("char")
        file["run/none"] = np.array([0, 0], "u8")
        file["run/none"].attrs["MATLAB_empty"] = 1
        file["#refs#/a"] = T
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    data = read(path, time="run/t", channels="run/x")
    np.testing.assert_array_equal(data.ys[0], X)
    rows = {row["name"]: row for row in candidates(path)["arrays"]}
    assert {n: row["type"] for n, row in rows.items()} == {
        "run/t": "float64",
        "run/x": "float64",
        "run/word": "text",
        "run/none": "uint64",
    }
    assert rows["run/none"]["shape"] == [0]
    with pytest.raises(errors.DataError, match="not an array of real numbers"):
        read(path, time="run/t", channels="run/word")


def save(path, columns):
    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_parquet_decides_like_csv(tmp_path):
    """Names, units, flags and gaps; numbers of every type, and labels of any."""
    many = 10
    columns = {
        "run": [1] * 5 + [2] * 5,
        "day": pyarrow.array([*range(5), *range(5)], pyarrow.int32()),
        "q [deg]": pyarrow.array([None, *range(9)], pyarrow.float32()),
        "tau": [0.5 * k for k in range(many)],
        "on": [k % 2 == 0 for k in range(many)],
        "note": pyarrow.array(["a"] * many).dictionary_encode(),
        "pair": [[1, 2]] * many,
    }
    path = save(tmp_path / "a.parquet", columns)
    data = read_parquet(path, traj="run", ignore=["note", "pair"])
    assert data.labels == ("1", "2")
    assert (data.names, data.input_names, data.time_unit) == (("q",), ("tau",), "d")
    assert data.units == ("rad",)
    assert not data.mask[0, 0, 0]
    said = {d["what"]: d["choice"] for d in data.origin["decisions"]}
    assert said["trajectories"] == "one for each value of run"
    table = parquet.read_table(path).drop_columns(["pair", "run"])
    with pytest.raises(errors.DataError, match='row 1, column "note": text "a"'):
        read(save(tmp_path / "b.parquet", table.to_pydict()))


def test_parquet_dates(tmp_path):
    start = datetime.datetime(2024, 5, 31, 12)
    stamps = [start + datetime.timedelta(seconds=0.1 * k) for k in range(3)]
    path = save(tmp_path / "a.parquet", {"date": stamps, "q": [1.0, 2.0, 4.0]})
    data = read(path)
    np.testing.assert_array_equal(data.ts[0], [0, 0.1, 0.2])
    assert data.origin["epoch"] == "2024-05-31T12:00:00"
    fine = pyarrow.array([0, 100, 200], pyarrow.timestamp("ns"))
    save(path, {"date": fine, "q": [1.0, 2.0, 4.0]})
    with pytest.raises(errors.DataError, match="finer than a microsecond"):
        read(path)


PARQUET = {
    "no rows": ({"t": [], "q": []}, "no row of numbers"),
    "no time": ({"x": [0.0, 1.0], "q": [1.0, 2.0]}, "no time column"),
    "twice": ({"q": [0.0], "q [m]": [1.0]}, 'name "q" stands twice'),
    "backwards": ({"t": [0.0, 2.0, 1.0], "q": [1, 2, 3]}, "row 3.*1.0 after 2.0"),
    "lost time": ({"t": [0.0, None, 1.0], "q": [1, 2, 3]}, "row 2.*time is missing"),
    "infinite": ({"t": [0.0, 1.0], "q": [1.0, np.inf]}, "row 2.*infinite"),
    "empty": ({"t": [0.0, 1.0], "q": [None, None]}, "text|every cell is empty"),
}


@pytest.mark.parametrize("case", PARQUET)
def test_bad_parquet(tmp_path, case):
    columns, sentence = PARQUET[case]
    with pytest.raises(errors.DataError, match=sentence):
        read(save(tmp_path / "a.parquet", columns))


def test_parquet_that_another_program_changed(tmp_path):
    """Rows and columns may go: what stands beside is found by name, or left."""
    own = Trajectories.from_arrays(
        [T, T, T],
        [X, 2 * X, 3 * X],
        names=("q", "p"),
        angle=(True, False),
        env=np.arange(3),
        params=np.array([[1.0], [2.0], [3.0]]),
        labels=("a", "b", "c"),
        licence="CC0",
    )
    path = write(own, tmp_path / "a.parquet")
    table = parquet.read_table(path)
    kept = table.filter(pyarrow.compute.not_equal(table["trajectory"], "b"))
    parquet.write_table(kept, path)
    data = read(path)
    assert (data.labels, data.env.tolist()) == (("a", "c"), [0, 2])
    assert data.params.tolist() == [[1.0], [3.0]]
    parquet.write_table(table.drop_columns(["p"]), path)
    data = read(path)
    assert (data.names, data.licence, data.env) == (("q",), None, None)
    renamed = table.rename_columns(["trajectory", "t [s]", "q", "p"])
    parquet.write_table(renamed.replace_schema_metadata({"pendula": "{"}), path)
    assert read(path).labels == ("a", "b", "c")
    with pytest.raises(errors.DataError, match="no file given"):
        read_parquet([])
