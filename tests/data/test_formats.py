"""Every format of files: the same bits come back, and a stranger can read them."""

import json
import os

import h5py
import numpy as np
import pyarrow.parquet as parquet
import pytest
import scipy.io
import xarray
import zarr
from hypothesis import HealthCheck, given, settings, strategies as st

from pendula import _errors as errors, _extra, _files
from pendula.data import Trajectories, read, write


FIELDS = tuple(Trajectories.__dataclass_fields__)
WHOLE = (".npz", ".mat", ".h5", ".nc", ".zarr")
# what each table has no place for
LOST = {
    ".csv": {"env", "params", "angle", "param_names", "licence", "origin"},
    ".tsv": {"env", "params", "angle", "param_names", "licence", "origin"},
    ".parquet": {"origin"},
    **{ending: set() for ending in WHOLE},
}


def assert_same(one, other, fields=FIELDS):
    """Bitwise equality, field by field."""
    for name in fields:
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, name
            assert a.shape == b.shape, name
            assert a.tobytes() == b.tobytes(), name
        else:
            assert a == b, name


def before_reading(data, path):
    """The container without the file that reading notes above those it copies."""
    (file,) = data.origin["files"]
    assert (file["path"], file["rows"]) == (str(path), data.lengths.sum())
    assert len(file["sha256"]) == 64
    files = {"files": file["copy_of"]} if "copy_of" in file else {}
    rest = {k: v for k, v in data.origin.items() if k != "files"}
    return data.replace(origin={**rest, **files})


numbers = st.floats(allow_nan=False, allow_infinity=False)
letters = st.characters(codec="utf-8", exclude_categories=["C", "Z"])
words = st.text(letters, min_size=1, max_size=6)
plain = words.map(lambda w: "q" + w.replace("[", "(").replace("]", ")"))


@st.composite
def containers(draw):
    """Any lengths, any bits, any gaps (not a whole channel), any names."""
    lengths = draw(st.lists(st.integers(2, 5), min_size=1, max_size=3))
    num, dim, ctrl = len(lengths), draw(st.integers(1, 3)), draw(st.integers(0, 2))
    few = draw(st.integers(0, 2))

    def array(*shape):
        count = int(np.prod(shape))
        drawn = draw(st.lists(numbers, min_size=count, max_size=count))
        return np.array(drawn, np.float64).reshape(shape)

    ts, ys, us = [], [], []
    for n in lengths:
        steps = draw(st.lists(st.floats(1e-6, 1e6), min_size=n, max_size=n))
        ts.append(np.cumsum(steps))
        y = array(n, dim)
        gaps = draw(st.lists(st.booleans(), min_size=n * dim, max_size=n * dim))
        y[np.reshape(gaps, (n, dim))] = np.nan
        y[0] = 1.5
        ys.append(y)
        us.append(array(n, ctrl))
    texts = lambda n: tuple(
        draw(st.lists(plain, min_size=n, max_size=n, unique_by=str.lower))
    )
    names = texts(dim + ctrl + few + num)
    units = st.sampled_from(["", "m", "kg m/s", "µV", "rad"])
    return {
        "ts": ts,
        "ys": ys,
        "us": us if ctrl else None,
        "names": names[:dim],
        "units": tuple(draw(units) for _ in range(dim)),
        "angle": tuple(draw(st.booleans()) for _ in range(dim)),
        "input_names": names[dim : dim + ctrl],
        "input_units": tuple(draw(units) for _ in range(ctrl)),
        "input_kind": draw(st.sampled_from(["held", "linear", "spline"])),
        "env": draw(st.sampled_from([None, np.arange(num)])),
        "params": array(num, few) if few else None,
        "param_names": names[dim + ctrl : dim + ctrl + few],
        "labels": names[dim + ctrl + few :],
        "time_unit": draw(st.sampled_from(["s", "d", "seconds"])),
        "licence": draw(st.sampled_from([None, "CC BY 4.0", "öffentlich"])),
        "origin": {"files": [{"path": "é.csv"}], "decisions": [], "note": [1, None]},
    }


@pytest.mark.filterwarnings("ignore::pendula._errors.DataWarning")  # gaps
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(fields=containers())
def test_round_trip_is_bitwise(fields, tmp_path):
    data = Trajectories.from_arrays(**fields)
    for ending, lost in LOST.items():
        path = write(data, tmp_path / f"a{ending}")
        roles = {}
        if ending in (".csv", ".tsv"):  # whose columns would have to be guessed
            roles = {"channels": data.names, "inputs": data.input_names}
            roles["input_kind"] = data.input_kind
            lost = {
                *lost,
                *(["labels"] if data.num == 1 else []),
                *([] if data.ctrl else ["input_kind"]),
            }
        back = read(path, **roles)
        if ending in WHOLE:
            back = before_reading(back, path)
        assert_same(data, back, [n for n in FIELDS if n not in lost])
    assert sorted(os.listdir(tmp_path)) == sorted(f"a{ending}" for ending in LOST)


def make(**about):
    t = np.linspace(0, 1, 5)
    ys = np.stack([t, t**2], 1)
    ys[2, 0] = np.nan
    about = {"units": ("rad", "m"), "labels": ("é",), "licence": "CC0", **about}
    return Trajectories.from_arrays(
        t,
        ys,
        np.exp(t)[:, None],
        **{"names": ("q", "p"), "input_names": ("force",), **about},
    )


@pytest.mark.parametrize("ending", [".hdf5", ".nc4", ".pq", ".NPZ"])
def test_other_names_of_the_endings(ending, tmp_path):
    data = make()
    back = read(write(data, tmp_path / f"a{ending}"))
    assert_same(data, back, [name for name in FIELDS if name != "origin"])


@pytest.mark.parametrize("ending", [*WHOLE, ".parquet"])
def test_parts_of_own_files(ending, tmp_path):
    """Channels are chosen, and what the file says is overruled, by the same options."""
    path = write(make(), tmp_path / f"a{ending}")
    data = read(path, channels="p", angles="p", licence="MIT", input_kind="held")
    assert (data.names, data.units, data.angle) == (("p",), ("m",), (True,))
    assert (data.licence, data.input_kind) == ("MIT", "held")
    assert data.input_names == ("force",)
    with pytest.raises(errors.ConfigError, match='"pp"'):
        read(path, channels="pp")
    with pytest.raises(errors.ConfigError, match=r"--angles x: .* is not a channel"):
        read(path, angles="x")


@pytest.mark.parametrize("ending", LOST)
def test_folders_of_one_kind(ending, tmp_path):
    for name in ("b", "a"):
        write(make(labels=(name,)), tmp_path / f"{name}{ending}")
    (tmp_path / "note.txt").write_text("made by hand")
    data = read(tmp_path)
    assert data.labels == ("a", "b")
    assert data.input_names == ("force",) or ending in (".csv", ".tsv")
    if ending not in (".csv", ".tsv"):
        assert data.licence == "CC0"


def test_two_kinds_are_not_read_together(tmp_path):
    write(make(), tmp_path / "a.h5")
    write(make(), tmp_path / "a.zarr")
    with pytest.raises(errors.DataError, match=r"different kinds \(.h5, .zarr\)"):
        read(tmp_path)


def test_hdf5_as_h5py_sees_it(tmp_path):
    with h5py.File(write(make(), tmp_path / "a.h5")) as file:
        assert set(file) >= {"ts", "ys", "mask", "us", "names", "labels", "format"}
        assert file["names"].asstr()[:].tolist() == ["q", "p"]
        assert [axis.label for axis in file["ys"].dims] == ["traj", "time", "dim"]
        assert file["ts"].attrs["units"] == "s"
        assert file["ys"].fletcher32


def test_netcdf_as_xarray_sees_it(tmp_path):
    path = write(make(), tmp_path / "a.nc")
    with xarray.open_dataset(path, engine="h5netcdf") as seen:
        assert seen.ys.dims == ("traj", "time", "dim")
        q = seen.ys.sel(dim="q", traj="é")
        np.testing.assert_array_equal(np.isnan(q), [0, 0, 1, 0, 0])
        assert str(q.units.values) == "rad"
        assert seen.us.sel(ctrl="force").shape == (1, 5)
        assert seen.ts.attrs["units"] == "s"
        assert seen.attrs["licence"] == "CC0"


def test_zarr_as_xarray_sees_it(tmp_path):
    path = write(make(), tmp_path / "a.zarr")
    with xarray.open_zarr(path, consolidated=False) as seen:
        assert seen.ys.dims == ("traj", "time", "dim")
        assert seen.attrs["names"] == ["q", "p"]


def test_matlab_as_scipy_sees_it(tmp_path):
    seen = scipy.io.loadmat(write(make(), tmp_path / "a.mat"), simplify_cells=True)
    assert seen["names"].tolist() == ["q", "p"]
    assert seen["licence"] == "CC0"
    assert seen["us"].shape == (5,)


def test_parquet_as_pyarrow_sees_it(tmp_path):
    seen = parquet.read_table(write(make(), tmp_path / "a.parquet"))
    assert seen.column_names == ["t [s]", "q [rad]", "p [m]", "force"]
    assert seen["q [rad]"].null_count == 1
    assert json.loads(seen.schema.metadata[b"pendula"])["angles"] == []


def test_matlab_may_drop_a_last_axis_of_one(tmp_path):
    """MATLAB saves (2, 5, 1) as (2, 5), and a mask as numbers."""
    t = np.arange(5.0)
    data = Trajectories.from_arrays([t, t], [t, 2 * t])
    path = write(data, tmp_path / "a.mat")
    seen = scipy.io.loadmat(path)
    seen = {n: v for n, v in seen.items() if not n.startswith("__")}
    seen["ys"], seen["mask"] = seen["ys"][..., 0], seen["mask"][..., 0].astype(float)
    scipy.io.savemat(path, seen)
    assert_same(data, before_reading(read(path), path))


@pytest.mark.parametrize("ending", [".h5", ".nc", ".parquet", ".zarr", ".mat"])
def test_nothing_half_written_stays(ending, tmp_path, monkeypatch):
    path = write(make(), tmp_path / f"a{ending}")
    write(make(labels=("second",)), path)  # an existing file is replaced
    assert read(path).labels == ("second",)

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.File, "create_dataset", full)
    monkeypatch.setattr(xarray.Dataset, "to_netcdf", full)
    monkeypatch.setattr(parquet, "write_table", full)
    monkeypatch.setattr(zarr.Group, "create_array", full)
    monkeypatch.setattr(scipy.io, "savemat", full)
    with pytest.raises(errors.DataError, match=r"cannot be written \(No space"):
        write(make(), path)
    assert read(path).labels == ("second",)
    assert os.listdir(tmp_path) == [path.name]
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.DataError, match="cannot be written"):
        write(make(), tmp_path / "file" / path.name)


def test_a_folder_is_replaced_or_stays(tmp_path, monkeypatch):
    path = tmp_path / "store"

    def fail():
        with _files.replacing_folder(path) as temporary:
            temporary.mkdir()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert os.listdir(tmp_path) == []
    path.mkdir()
    (path / "old").write_text("")
    with pytest.raises(FileNotFoundError), _files.replacing_folder(path):
        pass  # nothing was made that could take its place
    assert os.listdir(path) == ["old"]
    with pytest.raises(errors.DataError, match="something else than a Zarr store"):
        write(make(), (tmp_path / "store").rename(tmp_path / "a.zarr"))
    assert os.listdir(tmp_path / "a.zarr") == ["old"]


NEEDS = {".h5": "h5", ".nc": "netcdf", ".parquet": "table", ".zarr": "zarr"}


@pytest.mark.parametrize("ending", NEEDS)
def test_a_missing_package_is_said(ending, tmp_path, monkeypatch):
    path = write(make(), tmp_path / f"a{ending}")

    def gone(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(_extra.importlib, "import_module", gone)
    words = rf'is not installed: install "pendula\[{NEEDS[ending]}\]" to '
    with pytest.raises(errors.MissingExtra, match=words + "read"):
        read(path)
    with pytest.raises(errors.MissingExtra, match=words + "write"):
        write(make(), path)


def test_texts_that_files_cannot_hold(tmp_path):
    for ending in LOST:
        for name in ("q\0", "q\udcff"):
            with pytest.raises(errors.ConfigError, match=r"cannot"):
                write(make(names=(name, "p")), tmp_path / f"a{ending}")
    twice = make().select([0, 0])
    with pytest.raises(errors.ConfigError, match="two trajectories"):
        write(twice, tmp_path / "a.csv")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("angle", [False, True])
def test_the_largest_numbers_are_read_without_a_word(tmp_path, angle):
    """Differences of such numbers overflow: numpy would warn of it."""
    values = np.tile([1.7e308, -1.7e308, 0.0], 8)
    data = Trajectories.from_arrays(
        np.arange(24.0)[None], values[None, :, None], angle=(angle,), units=("rad",)
    )
    back = read(write(data, tmp_path / "a.parquet"))
    assert back.ys.tobytes() == data.ys.tobytes()
