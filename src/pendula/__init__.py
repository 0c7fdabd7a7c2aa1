"""Learn how a system moves from little data, with the physics built in, and say how
far the forecast can be trusted.

The public names are looked up when they are first used, so that `import pendula`
costs nothing: jax, numpy and matplotlib are imported by the first name that needs
them.

```python
>>> import pendula
>>> pendula.Status.ok.name
'ok'

```
"""

from __future__ import annotations

from typing import Any


# public name -> (module, name in that module); `__init__.pyi` says the same to
# editors and type checkers, a test compares the two
_PUBLIC = {
    "CheckpointError": ("pendula._errors", "CheckpointError"),
    "ConfigError": ("pendula._errors", "ConfigError"),
    "DataError": ("pendula._errors", "DataError"),
    "DivergedError": ("pendula._errors", "DivergedError"),
    "FitConfig": ("pendula.dynamics", "FitConfig"),
    "Fitted": ("pendula.dynamics", "Fitted"),
    "MissingExtra": ("pendula._errors", "MissingExtra"),
    "PendulaError": ("pendula._errors", "PendulaError"),
    "PendulaWarning": ("pendula._errors", "PendulaWarning"),
    "ShapeError": ("pendula._errors", "ShapeError"),
    "Source": ("pendula._source", "Source"),
    "Status": ("pendula._errors", "Status"),
    "Trajectories": ("pendula.data", "Trajectories"),
    "fit": ("pendula.dynamics", "fit"),
    "integrate": ("pendula.solve", "integrate"),
    "load": ("pendula.dynamics", "load"),
    "load_data": ("pendula.data", "open_data"),
    "read": ("pendula.data", "read"),
    "register": ("pendula._registry", "register"),
    "rollout": ("pendula.solve", "rollout"),
    "simulate": ("pendula.systems", "simulate"),
}

__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    from importlib import import_module, metadata

    if name == "__version__":
        value = metadata.version("pendula")
    elif name in _PUBLIC:
        module, attribute = _PUBLIC[name]
        value = getattr(import_module(module), attribute)
    else:
        raise AttributeError(f'module "pendula" has no attribute "{name}"')
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
