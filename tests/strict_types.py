"""The type checker that the tests put around every function of Pendula.

As in PEP 484 an int may stand for a float, and a float for a complex number. The check
of a function is made when it is called for the first time: each worker calls a part of
them, and making all of them was most of the time in which tests are collected.
"""

import functools
from typing import Any

from beartype import BeartypeConf, beartype


_strict = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: Any) -> Any:
    """The function with its arguments and its result checked."""
    made = None

    @functools.wraps(function)
    def first(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        nonlocal made
        if made is None:
            made = _strict(function)
        return made(*args, **kwargs)

    return first
