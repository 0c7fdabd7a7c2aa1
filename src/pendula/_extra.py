"""Packages that only some tasks need: imported when needed, or said to be missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from ._errors import MissingExtra


def extra(package: str, name: str, purpose: str) -> ModuleType:
    """Import an optional package.

    **Arguments:** `package`: what is imported; `name`: the extra of Pendula that
    installs it; `purpose`: what it is needed for, as in "read .h5 files".
    **Raises:** `MissingExtra` that says what to install.

    ```python
    >>> from pendula._extra import extra
    >>> extra("no_such_package", "h5", "read .h5 files")
    Traceback (most recent call last):
        ...
    pendula._errors.MissingExtra: no_such_package is not installed: install
    "pendula[h5]" to read .h5 files.

    ```
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError:
        raise MissingExtra(
            f'{package} is not installed: install "pendula[{name}]" to {purpose}.'
        ) from None
