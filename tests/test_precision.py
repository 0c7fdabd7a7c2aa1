"""Precision belongs to the object: scopes, casts, and arrays that leave them."""

from concurrent.futures import ThreadPoolExecutor

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula._precision import cast, precision, scoped, to_host


def test_a_scope_makes_float64_and_ends():
    assert jnp.ones(()).dtype == np.float32
    with precision("float64"):
        assert jnp.ones(()).dtype == np.float64
        with precision(np.float32):
            assert jnp.ones(()).dtype == np.float32
        assert jnp.ones(()).dtype == np.float64
    assert jnp.ones(()).dtype == np.float32


def test_a_scope_ends_after_an_error():
    with pytest.raises(RuntimeError), precision(np.float64):
        raise RuntimeError
    assert jnp.ones(()).dtype == np.float32


@scoped(np.float64)
def third(x, *, more):
    """(x + more) / 3 in the middle of a pytree."""
    return {"value": (x + more) / jnp.asarray(3.0), "name": "third", "count": 1}


def test_a_promise_of_float64_is_kept_outside_any_scope():
    """Inputs of every kind; the answer is NumPy and has all its digits."""
    for x in (
        np.float32(1.0),
        np.ones((), np.float64),
        jnp.ones(()),
        np.ones((), ">f8"),
    ):
        out = third(np.asarray(x) if np.isscalar(x) else x, more=np.zeros(()))
        assert isinstance(out["value"], np.ndarray | np.generic)
        assert out["value"].dtype == np.float64
        assert abs(float(out["value"]) - 1 / 3) < 1e-15
        assert (out["name"], out["count"]) == ("third", 1)
    with jax.enable_x64(True):
        inside = third(jnp.ones(()), more=jnp.zeros(()))
    assert float(inside["value"]) == float(out["value"])
    # in single precision the digits would be lost
    assert abs(float(np.float32(1) / np.float32(3)) - 1 / 3) > 1e-9


def test_worker_threads_have_the_scope_too():
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(third, np.full((), k), more=np.zeros(())) for k in (1.0, 2.0)
        ]
        values = [job.result()["value"] for job in jobs]
    assert [v.dtype for v in values] == [np.float64] * 2
    np.testing.assert_allclose(values, [1 / 3, 2 / 3], rtol=1e-15)


class Holder(eqx.Module):
    """Arrays of several kinds."""

    real: object
    whole: object
    key: object
    word: str = eqx.field(static=True)


def test_cast_touches_floats_only_and_keeps_their_digits():
    key = jax.random.key(3)
    fine = np.float64(np.pi) * np.ones(2)
    out = cast(Holder(fine, np.arange(3), key, "w"), np.float64)
    assert out.real.dtype == np.float64
    np.testing.assert_array_equal(out.real, fine)
    assert out.whole.dtype == np.arange(3).dtype
    assert out.key is key
    small = cast(Holder(fine, jnp.arange(3), None, "w"), np.float32)
    assert isinstance(small.real, np.ndarray)
    assert small.real.dtype == np.float32
    assert isinstance(small.whole, jax.Array)


def test_to_host_leaves_keys_and_other_things_alone():
    key = jax.random.key(3)
    with precision(np.float64):
        out = to_host(Holder(jnp.full(2, 1 / 3), jnp.arange(2), key, "w"))
    assert isinstance(out.real, np.ndarray)
    assert out.real.dtype == np.float64
    assert isinstance(out.whole, np.ndarray)
    assert out.key is key
    np.testing.assert_array_equal(out.real, np.full(2, 1 / 3))
