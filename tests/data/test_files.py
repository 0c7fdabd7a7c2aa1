"""Writing and reading back, NPZ and MATLAB files, folders, joining."""

import hashlib
import inspect
import io
import os
import zipfile

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings, strategies as st

from pendula import _errors as errors, _files
from pendula.data import (
    Trajectories,
    data_files,
    join,
    read,
    read_csv,
    read_npz,
    write,
    write_csv,
    write_npz,
)


FIELDS = tuple(Trajectories.__dataclass_fields__)


def assert_same(a, b, fields=FIELDS):
    """Bitwise equality, field by field."""
    for name in fields:
        one, two = getattr(a, name), getattr(b, name)
        if isinstance(one, np.ndarray):
            assert one.dtype == two.dtype, name
            assert one.tobytes() == two.tobytes(), name
        else:
            assert one == two, name


numbers = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def containers(draw):
    """Any lengths, any bits, any gaps (not a whole channel)."""
    lengths = draw(st.lists(st.integers(2, 6), min_size=1, max_size=3))
    dim, ctrl = draw(st.integers(1, 3)), draw(st.integers(0, 2))
    array = lambda *shape: np.array(
        draw(st.lists(numbers, min_size=int(np.prod(shape)), max_size=99)),
    )[: int(np.prod(shape))].reshape(shape)
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
    return ts, ys, us if ctrl else None


def build(ts, ys, us):
    dim = ys[0].shape[1]
    return Trajectories.from_arrays(
        ts,
        ys,
        us,
        names=tuple("qpr"[:dim]),
        units=("m", "", "kg m/s")[:dim],
        angle=(False, True, False)[:dim],
        labels=tuple(f"run {i}" for i in range(len(ts))),
    )


quiet = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.filterwarnings("ignore::pendula._errors.DataWarning")  # gaps
@quiet
@given(arrays=containers())
def test_csv_round_trip_is_bitwise(arrays, tmp_path):
    data = build(*arrays)
    path = write(data, tmp_path / "a.csv")
    back = read_csv(
        path,
        traj="trajectory" if data.num > 1 else None,
        channels=data.names,
        inputs=data.input_names,
        input_kind="spline",
    )
    same = ["ts", "ys", "mask", "us", "names", "units", "input_names", "time_unit"]
    assert_same(data, back, same + (["labels"] if data.num > 1 else []))


@quiet
@given(arrays=containers())
def test_npz_round_trip_is_bitwise(arrays, tmp_path):
    data = build(*arrays)
    data = data.replace(
        "made",
        env=np.arange(data.num),
        params=np.ones((data.num, 1)),
        param_names=("mass",),
        licence="CC0",
        origin={"files": [{"path": "é.csv"}], "decisions": []},
    )
    path = write(data, tmp_path / "a.npz")
    back = read(path)
    (file,) = back.origin["files"]
    origin = {**back.origin, "files": file["made_of"]}
    assert_same(data, back.replace(origin=origin))
    assert (file["path"], file["rows"]) == (str(path), data.lengths.sum())
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def make():
    t = np.linspace(0, 1, 5)
    return Trajectories.from_arrays(t, np.stack([t, t**2], 1), names=("q", "p"))


def test_tsv_and_input_prefix(tmp_path):
    t = np.arange(4.0)
    data = Trajectories.from_arrays(t, t[:, None] ** 2, np.sin(t)[:, None])
    path = write(data, tmp_path / "a.tsv")
    assert path.read_text().splitlines()[0] == "t [s]\ty0\tu_0"
    back = read(path)
    assert_same(data, back, ["ts", "ys", "us", "input_names"])


def test_nothing_half_written_stays(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    write_npz(make(), path)
    before = path.read_bytes()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(errors.DataError, match=r"cannot be written \(No space"):
        write_npz(make(), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.npz"]

    def fail():
        with _files.replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.npz"]


def test_bad_write(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.DataError, match="cannot be written"):
        write_csv(make(), tmp_path / "file" / "a.csv")
    with pytest.raises(errors.ConfigError, match=r'cannot write ".xls" files'):
        write(make(), tmp_path / "a.xls")
    for name in ("t", "trajectory", "", "a[b]", " q", "p"):
        bad = make().replace(names=(name, "p"))
        with pytest.raises(errors.ConfigError, match="cannot head a CSV column"):
            write_csv(bad, tmp_path / "a.csv")
    assert not (tmp_path / "a.csv").exists()


def test_bad_npz(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(make(), path)
    whole = path.read_bytes()
    for cut in (0, 100, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:cut])
        with pytest.raises(errors.DataError, match=r"a\.npz: the file is not a whole"):
            read(path)
    path.write_bytes(b"t,q\n0,1\n")
    with pytest.raises(errors.DataError, match="not a whole NPZ"):
        read(path)
    bent = bytearray(whole)
    middle = whole.index(b"ys.npy") + 200
    bent[middle] ^= 0xFF
    path.write_bytes(bytes(bent))
    with pytest.raises(errors.DataError, match="not a whole NPZ"):
        read(path)
    np.savez(path, t=np.array([{}, 1], dtype=object))
    with pytest.raises(errors.DataError, match="pickled Python objects"):
        read(path)
    with pytest.raises(errors.DataError, match="no such file"):
        read(tmp_path / "b.npz")


def test_npz_of_another_format(tmp_path):
    path = tmp_path / "a.npz"
    data = make()
    arrays = {"ts": data.ts, "ys": data.ys, "mask": data.mask}
    np.savez(path, format=99, **arrays)
    with pytest.raises(errors.DataError, match=r"format 99.*Update"):
        read(path)
    np.savez(path, format=1, **{**arrays, "mask": data.mask[:, :2]})
    with pytest.raises(errors.DataError, match=r"a\.npz: the arrays do not fit"):
        read(path)
    for origin in ("{", "[1]"):
        np.savez(path, format=1, origin=origin, **arrays)
        with pytest.raises(errors.DataError, match=r"a\.npz: the arrays do not fit"):
            read(path)


def test_own_npz_options(tmp_path):
    path = write_npz(make(), tmp_path / "a.npz")
    assert read(path, channels="p").names == ("p",)
    with pytest.raises(errors.ConfigError, match=r"--time t: a\.npz is a Pendula file"):
        read(path, time="t")
    with pytest.raises(errors.ConfigError, match="--traj does not apply"):
        read(path, traj="run")


def test_foreign_npz(tmp_path):
    path = tmp_path / "a.npz"
    t = np.linspace(0, 1, 7)
    x = np.stack([np.sin(t), np.cos(t)], 1)
    np.savez(path, clock=t, x=x, force=np.exp(t), n=np.array(3), label=np.array("a"))
    data = read(path, time="clock", channels="x", inputs="force")
    np.testing.assert_array_equal(data.ys[0], x)
    assert data.names == ("x_0", "x_1")
    assert data.input_names == ("force",)
    step = read(path, dt=0.5, channels="force")
    np.testing.assert_array_equal(step.ts[0], 0.5 * np.arange(7))
    np.savez(path, t=np.stack([t, t + 1]), x=np.stack([x, 2 * x]))
    both = read(path, time="t", channels="x")
    np.testing.assert_array_equal(both.ys[1], 2 * x)


FOREIGN = {
    "nothing said": ({}, r"--time NAME .*--channels.*Arrays: t \(3,\), x \(3,\)"),
    "both": ({"time": "t", "dt": 1.0, "channels": "x"}, "expected one"),
    "step": ({"dt": -1.0, "channels": "x"}, "must be positive"),
    "unknown": ({"time": "t", "channels": "xx"}, 'no array "xx". Did you mean "x"'),
    "shape": ({"time": "t", "channels": "long"}, r'"long": shape \(4,\) does not fit'),
    "text": ({"time": "t", "channels": "name"}, '"name": <U1 of shape'),
    "times": ({"time": "back", "channels": "x"}, '"back", trajectory 0, sample 2'),
    "infinite": ({"time": "t", "channels": "inf"}, "a.npz: .* infinite"),
    "empty": ({"time": "t", "channels": "nan"}, 'column "nan": every cell is empty'),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_bad_foreign_npz(tmp_path, case):
    options, sentence = FOREIGN[case]
    t = np.arange(3.0)
    np.savez(
        tmp_path / "a.npz",
        t=t,
        x=t,
        long=np.ones(4),
        name=np.array(["a"] * 3),
        back=np.array([0.0, 2, 1]),
        inf=np.array([0, np.inf, 1]),
        nan=np.full(3, np.nan),
    )
    with pytest.raises(errors.PendulaError, match=sentence):
        read(tmp_path / "a.npz", **options)


def test_matlab(tmp_path):
    path = tmp_path / "a.mat"
    t = np.linspace(0, 1, 6)
    scipy.io.savemat(path, {"t": t, "q": np.stack([t, t**2], 1)})
    data = read(path, time="t", channels=["q"])
    np.testing.assert_array_equal(data.ys[0], np.stack([t, t**2], 1))
    with pytest.raises(errors.ConfigError, match="--channels"):
        read(path)
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(errors.DataError, match="not a whole MATLAB file"):
        read(path, time="t", channels="q")
    path.write_bytes(
        b"MATLAB 7.3 MAT-file".ljust(124, b" ") + b"\x00\x02IM" + b"\0" * 8
    )
    with pytest.raises(errors.DataError, match=r"not a whole MATLAB 7\.3 file"):
        read(path, time="t", channels="q")


def test_folder(tmp_path):
    with pytest.raises(errors.DataError, match="the folder holds no data file"):
        read(tmp_path)
    (tmp_path / "note.txt").write_text("made by hand")
    (tmp_path / "b.csv").write_text("t,q\n0,1\n1,2\n")
    (tmp_path / "a.csv").write_text("t,q\n0,3\n1,4\n2,5\n")
    data = read(tmp_path)
    assert data.labels == ("a", "b")
    write_npz(make(), tmp_path / "c.npz")
    with pytest.raises(errors.DataError, match=r"different kinds \(.npz, text\)"):
        read(tmp_path)
    with pytest.raises(errors.DataError, match="no file given"):
        read([])
    with pytest.raises(errors.DataError, match="None names no file"):
        inspect.unwrap(data_files)(None)


def test_unknown_ending(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(errors.DataError, match=r'"\.xlsx" are not read'):
        read(tmp_path / "a.xlsx")
    with pytest.raises(errors.DataError, match="no such file"):
        read(tmp_path / "b.xlsx")


def test_several_npz_are_joined(tmp_path):
    one = write_npz(make(), tmp_path / "1.npz")
    two = write_npz(make().subsample(2), tmp_path / "2.npz")
    data = read([one, two])
    np.testing.assert_array_equal(data.lengths, [5, 3])
    assert data.labels == ("0/0", "1/0")
    with pytest.raises(errors.DataError, match="part 1 has names"):
        join([make(), make().channels("q")])
    with pytest.raises(errors.DataError, match="no data to join"):
        join([])


def test_npz_holds_no_pickle(tmp_path):
    path = write_npz(make(), tmp_path / "a.npz")
    with zipfile.ZipFile(path) as file:
        for name in file.namelist():
            np.load(io.BytesIO(file.read(name)), allow_pickle=False)
    assert read_npz(path).names == ("q", "p")
