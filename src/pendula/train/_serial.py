"""Pytrees in safetensors files: models by their registered classes, states by
their leaves. No pickle, and nothing of a file is ever executed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .._errors import CheckpointError, ConfigError
from .._files import replacing
from .._registry import lookup, name_of


FORMAT = 1


def describe(node: Any, tensors: dict[str, np.ndarray], path: str = "") -> Any:
    """A JSON-able skeleton of a model; its arrays go to `tensors` by tree path.

    **Raises:** `CheckpointError` for a class or value that cannot be saved.
    """
    if isinstance(node, eqx.Module):
        name = name_of("module", type(node))
        if name is None:
            raise CheckpointError(
                f"{path or 'the model'} is a {type(node).__name__}, which is not "
                'registered. Decorate the class with pendula.register("module").'
            )
        fields = {}
        for field in dataclasses.fields(node):
            where = f"{path}.{field.name}" if path else field.name
            value = getattr(node, field.name)
            value = _setting(value) if field.metadata.get("static") else value
            fields[field.name] = describe(value, tensors, where)
        return {"module": name, "fields": fields}
    if isinstance(node, jax.Array | np.ndarray | np.generic):
        if jnp.issubdtype(node.dtype, jax.dtypes.prng_key):
            raise CheckpointError(f"{path} is a random key, which a model cannot hold.")
        array = np.asarray(node)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if path in tensors:
            raise CheckpointError(f"two arrays would be saved as {path}; rename one.")
        tensors[path] = array
        return {"array": path, "shape": list(array.shape), "dtype": str(array.dtype)}
    if isinstance(node, tuple | list):
        items = [describe(v, tensors, f"{path}[{i}]") for i, v in enumerate(node)]
        return {"tuple" if isinstance(node, tuple) else "list": items}
    if isinstance(node, dict) and all(isinstance(k, str) for k in node):
        return {
            "dict": {k: describe(v, tensors, f"{path}.{k}") for k, v in node.items()}
        }
    if node is None or isinstance(node, bool | int | float | str):
        return {"value": node}
    raise CheckpointError(
        f"{path} holds a {type(node).__name__}, which a saved model cannot hold. Use "
        "arrays, registered modules, numbers and texts."
    )


number = np.generic.item
"""NumPy's numbers as Python's, for JSON; a `TypeError` for anything else."""


def _setting(value: Any) -> Any:
    """NumPy's numbers, alone or in tuples, as Python's: as an array a setting could
    not steer a program again."""
    if isinstance(value, tuple):
        return tuple(_setting(v) for v in value)
    return number(value) if isinstance(value, np.generic) else value


def rebuild(skeleton: Any, tensors: dict[str, np.ndarray], file: str) -> Any:
    """The inverse of `describe`; every array's name, shape and dtype is checked, and
    modules pass their own checks again. Only registered classes are ever made."""
    match skeleton:
        case {"module": name, "fields": fields}:
            try:
                cls = lookup("module", name)
            except ConfigError as error:
                raise CheckpointError(
                    f"{file} needs the class {name}: {error} Import the module that "
                    "defines it first."
                ) from error
            known = dataclasses.fields(cls)
            expected = {f.name for f in known}
            # a part that came later, and that a model may lack, is one it lacks
            later = {f.name for f in known if f.default is None} - set(fields)
            if set(fields) | later != expected:
                raise CheckpointError(
                    f"{file}: {name} was saved with fields {sorted(fields)}, this "
                    f"version has {sorted(expected)}. Load it with the version that "
                    "wrote it."
                )
            new = object.__new__(cls)
            for key in later:
                object.__setattr__(new, key, None)
            for key, value in fields.items():
                object.__setattr__(new, key, rebuild(value, tensors, file))
            if hasattr(new, "__check_init__"):
                try:
                    new.__check_init__()
                except ConfigError as error:
                    raise CheckpointError(
                        f"{file}: {name} is not valid: {error}"
                    ) from error
            return new
        case {"array": path, "shape": shape, "dtype": dtype}:
            array = tensors.get(path)
            if array is None:
                raise CheckpointError(f"{file}: the array {path} is missing.")
            if list(array.shape) != shape or str(array.dtype) != dtype:
                raise CheckpointError(
                    f"{file}: the array {path} is {array.dtype}{list(array.shape)}; "
                    f"expected {dtype}{shape}."
                )
            return array
        case {"tuple": items}:
            return tuple(rebuild(v, tensors, file) for v in items)
        case {"list": items}:
            return [rebuild(v, tensors, file) for v in items]
        case {"dict": items}:
            return {k: rebuild(v, tensors, file) for k, v in items.items()}
        case {"value": value}:
            return value
    raise CheckpointError(f"{file}: its description of the model cannot be read.")


def save_tree(path: Path, tree: Any, about: dict[str, Any]) -> None:
    """Write a model (or any tree of registered modules) with what is to be known
    of it (JSON-able); whole or not at all.

    **Raises:** `CheckpointError` for a class or value that cannot be saved.

    ```python
    >>> import jax
    >>> from pathlib import Path
    >>> from pendula.nn import MLP
    >>> from pendula.train import load_tree, save_tree
    >>> net = MLP(1, 1, width=4, depth=1, key=jax.random.key(0))
    >>> save_tree(Path("net.safetensors"), net, {"unit": "m"})
    >>> again, about = load_tree(Path("net.safetensors"))
    >>> bool((again.weight_in == net.weight_in).all()), about
    (True, {'unit': 'm'})

    ```
    """
    tensors: dict[str, np.ndarray] = {}
    told = {"format": FORMAT, "tree": describe(tree, tensors), "about": about}
    tensors = {k: _contiguous(v) for k, v in tensors.items()}
    text = json.dumps({**told, "digest": _digest(tensors)}, default=number)
    _save(path, tensors, {"pendula": text})


def load_parts(
    path: str | Path, key: str, kind: type, wrong: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A saved dictionary of parts, the one at `key` of this kind, and what was saved
    about it.

    **Raises:** `CheckpointError` as for `load_tree`; for anything else the path and
    what is `wrong` with it.
    """
    tree, about = load_tree(Path(path))
    if not (isinstance(tree, dict) and isinstance(tree.get(key), kind)):
        raise CheckpointError(f"{path} {wrong}")
    return tree, about


def load_tree(path: Path) -> tuple[Any, dict[str, Any]]:
    """The tree and what was saved about it.

    **Raises:** `CheckpointError` for a file that is missing, truncated, foreign, of a
    newer format, or whose arrays are not those that were saved.
    """
    path = Path(path)
    meta, tensors = _open(path)
    if "pendula" not in meta:
        raise CheckpointError(
            f"{path} is a safetensors file, but not a model of Pendula's. Give a "
            "model.safetensors or its run folder."
        )
    try:
        stored = json.loads(meta["pendula"])
        if stored["format"] > FORMAT:
            raise CheckpointError(
                f"{path} has format {stored['format']}, this version reads up to "
                f"{FORMAT}. Update Pendula."
            )
        found = rebuild(stored["tree"], tensors, str(path)), dict(stored["about"])
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        # a description that somebody changed by hand can be wrong in any way
        raise CheckpointError(
            f"{path}: its description is damaged. Save it again."
        ) from error
    _check_digest(path, stored, tensors)
    return found


def is_whole(path: Path) -> bool:
    """Whether the file is a safetensors file of the length that its header says, with
    the numbers that were written."""
    try:
        meta, tensors = _open(path)
        _check_digest(path, json.loads(meta["state"]), tensors)
    except CheckpointError:
        return False
    except (LookupError, ValueError, AttributeError):
        return True  # of another kind: who loads it says so
    return True


def _digest(tensors: dict[str, np.ndarray]) -> str:
    """Of the numbers: the format of the file has none, and one wrong bit in it would
    be a wrong forecast."""
    seen = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        seen.update(name.encode())
        seen.update(tensors[name].tobytes())
    return seen.hexdigest()


def _check_digest(
    path: Path, stored: dict[str, Any], tensors: dict[str, np.ndarray]
) -> None:
    """**Raises:** `CheckpointError`; files of before digests have none."""
    if stored.get("digest", found := _digest(tensors)) != found:
        raise CheckpointError(
            f"{path} is damaged: its numbers are not those that were saved. Restore it "
            "from a copy, or fit again."
        )


def _open(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    if not path.is_file():
        raise CheckpointError(
            f"{path} does not exist. Give a model.safetensors or its run folder."
        )
    try:
        with safe_open(str(path), framework="numpy") as file:
            meta = dict(file.metadata() or {})
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}); it is truncated or not a safetensors "
            "file. Restore it from a copy, or fit again."
        ) from error
    return meta, tensors


def _contiguous(array: np.ndarray) -> np.ndarray:
    """As safetensors wants it. NumPy's `ascontiguousarray` would turn a scalar into
    a vector of one."""
    return np.require(array, requirements="C")


def _unwrap(leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return np.asarray(jax.random.key_data(leaf))
    return np.asarray(leaf)


def save_state(path: Path, state: Any, about: dict[str, Any]) -> None:
    """The arrays of a training state, leaf by leaf, atomically."""
    leaves = [x for x in jax.tree.leaves(state) if eqx.is_array(x)]
    tensors = {f"{i:05d}": _contiguous(_unwrap(x)) for i, x in enumerate(leaves)}
    text = json.dumps({"about": about, "digest": _digest(tensors)})
    _save(path, tensors, {"state": text})


def _save(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Atomically; `metadata` has one entry: safetensors writes several in no order."""
    with replacing(path) as temporary:
        # safetensors lets nobody but its writer read what it makes
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(tensors, temporary, metadata=metadata)
        temporary.chmod(mode)


def _state_of(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What was saved about a training state, and its arrays."""
    meta, tensors = _open(Path(path))
    if "state" not in meta:
        raise CheckpointError(f"{path} is not a checkpoint of a training.")
    try:
        stored = json.loads(meta["state"])
    except ValueError:
        stored = None
    if not isinstance(stored, dict):
        raise CheckpointError(f"{path}: its description is damaged. Start again.")
    _check_digest(path, stored, tensors)
    return stored.get("about", stored), tensors


def load_state(path: Path, like: Any) -> tuple[Any, dict[str, Any]]:
    """A training state into the structure of `like`.

    **Raises:** `CheckpointError` when the file does not fit.
    """
    about, tensors = _state_of(path)
    leaves, tree = jax.tree.flatten(like)
    count = 0
    out = []
    for leaf in leaves:
        if not eqx.is_array(leaf):
            out.append(leaf)
            continue
        array = tensors.get(f"{count:05d}")
        count += 1
        expected = _unwrap(leaf)
        if array is None or (array.shape, array.dtype) != (
            expected.shape,
            expected.dtype,
        ):
            raise CheckpointError(
                f"{path} does not fit this training (entry {count}). The data or the "
                "settings changed; start again without --resume."
            )
        if isinstance(leaf, jax.Array) and jnp.issubdtype(
            leaf.dtype, jax.dtypes.prng_key
        ):
            kind = jax.random.key_impl(leaf)
            out.append(jax.random.wrap_key_data(jnp.asarray(array), impl=kind))
        else:
            out.append(jnp.asarray(array))
    if count != len(tensors):
        raise CheckpointError(f"{path} holds more than this training has.")
    return jax.tree.unflatten(tree, out), about
