"""Saved models: the same bits back, and a sentence for every file that is not one."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.testing import assert_array_equal
from safetensors import safe_open
from safetensors.numpy import save_file

from pendula._errors import CheckpointError, ConfigError
from pendula._registry import register
from pendula.depth import FittedImages
from pendula.dynamics import BarFamily, load, load_control_map, load_family, load_gauge
from pendula.hardware import FittedLocal
from pendula.latent import FittedDecoder, FittedLatent
from pendula.nn import MLP
from pendula.sequences import FittedSequences
from pendula.train import load_tree, save_tree
from pendula.train._serial import save_state


@register("module", "tests.train.Box")
class Box(eqx.Module):
    """One of everything that a saved model may hold."""

    scalar: object
    matrix: object
    parts: object
    size: int = eqx.field(static=True)
    label: str = eqx.field(static=True)

    def __check_init__(self):
        if self.size < 0:
            raise ConfigError(f"size is {self.size}; it must be at least 0.")


@register("module", "tests.train.Grown")
class Grown(eqx.Module):
    """Has a part that came later, and that it may lack."""

    matrix: object
    later: object = None


class Stranger(eqx.Module):
    """Not registered."""

    x: float = 1.0


def box():
    return Box(
        jnp.asarray(1.5),
        np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
        {
            "empty": np.zeros((3, 0), np.float32),
            "whole": (np.arange(3, dtype=np.int8), [True, None, 2, 0.1, "text"]),
            "net": MLP(2, 1, width=3, depth=2, key=jax.random.key(0)),
            "number": np.float64(np.pi),
        },
        4,
        "Größe",
    )


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "with space ü" / "model.safetensors"
    save_tree(path, box(), {"names": ["θ"], "value": float("inf")})
    return path


def parts_of(file):
    """(skeleton and about, tensors) of a model file, to be tampered with."""
    with safe_open(str(file), framework="numpy") as opened:
        meta = json.loads(opened.metadata()["pendula"])
        return meta, {k: opened.get_tensor(k) for k in opened.keys()}  # noqa: SIM118 - not a dict


def write(file, meta, tensors):
    text = meta if isinstance(meta, str) else json.dumps(meta)
    save_file(tensors, file, metadata={"pendula": text})


def test_the_same_bits_come_back(file):
    tree, about = load_tree(file)
    assert about == {"names": ["θ"], "value": float("inf")}
    assert type(tree) is Box
    assert (tree.size, tree.label) == (4, "Größe")
    before, after = jax.tree.flatten(box()), jax.tree.flatten(tree)
    assert before[1] == after[1]
    for a, b in zip(before[0], after[0], strict=True):
        if isinstance(a, jax.Array | np.ndarray | np.generic):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            assert_array_equal(np.asarray(a), b)
        else:
            assert (a, type(a)) == (b, type(b))
    assert [p.name for p in file.parent.iterdir()] == [file.name]


@pytest.mark.filterwarnings("ignore:A JAX array is being set as static")
def test_settings_and_orders_of_numpy_come_back_as_they_steer(tmp_path):
    values = {"swapped": np.arange(3, dtype=">f8")}
    given = Box(values, None, None, np.int64(4), np.str_("a"))
    save_tree(tmp_path / "m.safetensors", given, {"count": np.int64(2)})
    tree, about = load_tree(tmp_path / "m.safetensors")
    assert (tree.size, type(tree.size), about) == (4, int, {"count": 2})
    assert_array_equal(jax.tree.leaves(tree)[0], [0.0, 1.0, 2.0])


def test_the_same_tree_gives_the_same_bytes(file, tmp_path):
    save_tree(tmp_path / "again.safetensors", *load_tree(file))
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_who_may_read_other_files_may_read_these(tmp_path):
    net = MLP(2, 1, width=3, depth=2, key=jax.random.key(0))
    paths = [tmp_path / name for name in ("plain", "model", "state")]
    paths[0].touch()
    save_tree(paths[1], net, {})
    save_state(paths[2], net, {})
    assert len({path.stat().st_mode for path in paths}) == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Stranger(), "is a Stranger, which is not registered"),
        (print, "which a saved model cannot hold"),
        ({1: 2.0}, "holds a dict"),
        (3 + 4j, "holds a complex"),
        (jax.random.key(0), "is a random key"),
        ({"a": {"b": np.ones(1)}, "a.b": np.ones(2)}, "two arrays would be saved as"),
    ],
)
def test_what_cannot_be_saved_is_said_and_nothing_stays(value, words, tmp_path):
    tree = Box(value, None, None, 1, "")
    with pytest.raises(CheckpointError, match=words) as found:
        save_tree(tmp_path / "m.safetensors", tree, {})
    assert "scalar" in str(found.value)
    assert list(tmp_path.iterdir()) == []


def test_one_wrong_bit_is_seen(file):
    """The format has no checksum; files from before there was one are read."""
    meta, tensors = parts_of(file)
    name = next(k for k, v in tensors.items() if v.dtype == np.float32 and v.size)
    tensors[name] = tensors[name].copy()
    tensors[name].reshape(-1).view(np.uint8)[0] ^= 1
    write(file, meta, tensors)
    with pytest.raises(CheckpointError, match="numbers are not those that were saved"):
        load_tree(file)
    del meta["digest"]
    write(file, meta, tensors)
    load_tree(file)


def test_missing_and_damaged_files(file, tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        load_tree(tmp_path / "nothing.safetensors")
    whole = file.read_bytes()
    for size in (0, 4, 100, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match="truncated or not a safetensors"):
            load_tree(file)
    file.write_bytes(b"PK\x03\x04" + bytes(200))
    with pytest.raises(CheckpointError, match="truncated or not a safetensors"):
        load_tree(file)


def test_foreign_and_newer_files(file):
    meta, tensors = parts_of(file)
    write(file, {**meta, "format": 2}, tensors)
    with pytest.raises(CheckpointError, match=r"has format 2, .* up to 1\. Update"):
        load_tree(file)
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match="not a model of Pendula's"):
        load_tree(file)


def test_unknown_class_names_the_nearest(file):
    meta, tensors = parts_of(file)
    meta["tree"]["module"] = "tests.train.Bux"
    write(file, meta, tensors)
    with pytest.raises(CheckpointError, match=r'Did you mean "tests\.train\.Box"\?'):
        load_tree(file)


def test_fields_of_another_version(file):
    meta, tensors = parts_of(file)
    del meta["tree"]["fields"]["label"]
    write(file, meta, tensors)
    with pytest.raises(CheckpointError, match="was saved with fields"):
        load_tree(file)


def test_a_part_that_came_later_is_one_that_an_older_model_lacks(tmp_path):
    file = tmp_path / "older.safetensors"
    save_tree(file, Grown(np.ones(2)), {})
    meta, tensors = parts_of(file)
    del meta["tree"]["fields"]["later"]
    write(file, meta, tensors)
    again = load_tree(file)[0]
    assert again.later is None
    assert_array_equal(again.matrix, np.ones(2))
    del meta["tree"]["fields"]["matrix"]
    write(file, meta, tensors)
    with pytest.raises(CheckpointError, match="was saved with fields"):
        load_tree(file)


def test_a_missing_array_and_a_wrong_one(file):
    meta, tensors = parts_of(file)
    less = {k: v for k, v in tensors.items() if k != "matrix"}
    write(file, meta, less)
    with pytest.raises(CheckpointError, match="the array matrix is missing"):
        load_tree(file)
    write(file, meta, {**tensors, "matrix": tensors["matrix"].astype(np.float32)})
    with pytest.raises(CheckpointError, match=r"is float32\[2, 3\]; expected float64"):
        load_tree(file)
    write(file, meta, {**tensors, "matrix": tensors["matrix"][:1]})
    with pytest.raises(CheckpointError, match=r"is float64\[1, 3\]; expected"):
        load_tree(file)


def test_a_module_passes_its_own_checks_again(file):
    meta, tensors = parts_of(file)
    meta["tree"]["fields"]["size"] = {"value": -3}
    write(file, meta, tensors)
    with pytest.raises(CheckpointError, match=r"Box is not valid: size is -3"):
        load_tree(file)


@pytest.mark.parametrize("name", ["subprocess.Popen", "builtins.eval", "os.system"])
def test_only_registered_classes_are_ever_made(file, name):
    meta, tensors = parts_of(file)
    for fields in ({}, {"args": {"value": "touch made"}}):
        meta["tree"] = {"module": name, "fields": fields}
        write(file, meta, tensors)
        with pytest.raises(CheckpointError, match=f"needs the class {name}"):
            load_tree(file)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["module", "fields", "array", "shape", "dtype", "tuple", "dict"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "model.safetensors"


def outcome(path):
    try:
        return load_tree(path)
    except CheckpointError as error:
        return str(error)


@given(meta=JSON, inside=st.booleans(), about=JSON)
@settings(max_examples=60, deadline=None)
def test_any_description_is_read_or_refused_in_words(scratch, meta, inside, about):
    """A file changed by hand gives a tree of plain values or a CheckpointError."""
    if inside:
        meta = {"format": 1, "tree": meta, "about": about}
    write(scratch, meta, {"x": np.ones(1)})
    found = outcome(scratch)
    assert isinstance(found, tuple) or str(scratch) in found


def test_a_description_that_is_no_json_or_too_deep(scratch):
    deep = '{"tuple": [' * 5000 + "]}" * 5000
    for text in ("{", f'{{"format": 1, "tree": {deep}, "about": {{}}}}'):
        write(scratch, text, {"x": np.ones(1)})
        with pytest.raises(CheckpointError, match="description is damaged"):
            load_tree(scratch)


FITTED = (BarFamily, FittedDecoder, FittedImages, FittedLatent, FittedLocal)
LOADERS = (load, load_control_map, load_family, load_gauge)


@pytest.mark.parametrize(
    "read", [*LOADERS, *(one.load for one in (*FITTED, FittedSequences))]
)
def test_what_another_part_saved_is_told(read, tmp_path):
    path = tmp_path / "other.safetensors"
    save_tree(path, Grown(jnp.zeros(2)), {})
    with pytest.raises(CheckpointError, match=r"other\.safetensors (holds|does not)"):
        read(path)
