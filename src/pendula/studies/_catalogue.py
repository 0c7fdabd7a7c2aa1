"""Which studies there are, and the modules that hold their parts."""

from __future__ import annotations

from importlib import import_module

from .._errors import ConfigError, nearest
from .._registry import lookup
from ._study import Part, Study


# study -> the modules that define it and its parts
_MODULES = {
    "spine": (
        "_resume",
        "_clone",
        "_program",
        "_formats",
        "_energy_drift",
        "_torchdiffeq",
    ),
    "real_data": (
        "_multiarm",
        "_multiarm_settings",
        "_double_pendulums",
        "_silverbox",
        "_dfki",
        "_chaos_statistics",
        "_ecology",
        "_pysindy",
    ),
    "families": (
        "_families",
        "_families_motion",
        "_families_relaxing",
        "_families_few_shot",
        "_families_stiff",
        "_families_reading",
        "_families_kpp",
        "_families_dimension",
        "_families_rod",
        "_families_next",
        "_families_adaptation",
        "_families_instances",
        "_families_inputs",
        "_families_reference",
        "_families_torch",
        "_families_cross",
        "_families_gd_pendulum",
        "_families_hyper",
        "_families_balls",
        "_families_dfki",
        "_families_links",
        "_families_chemostats",
        "_families_rivals",
    ),
    "slinky": (
        "_slinky",
        "_slinky_statics",
        "_slinky_motion",
        "_slinky_speed",
        "_slinky_esnn",
        "_slinky_ablations",
        "_slinky_schedule",
        "_slinky_imode",
        "_slinky_rivals",
        "_slinky_trust",
        "_slinky_contact",
        "_slinky_network_speed",
        "_slinky_chain",
        "_slinky_coupling",
        "_slinky_calibrate",
        "_slinky_law",
        "_slinky_rings",
        "_slinky_homogenised",
        "_slinky_learned_bars",
    ),
    "continuity": (
        "_continuity",
        "_continuity_exact",
        "_continuity_oscillator",
        "_continuity_pendulum",
        "_continuity_systems",
        "_continuity_cures",
    ),
    "depth": (
        "_depth",
        "_depth_exact",
        "_depth_settings",
        "_depth_mnist",
        "_depth_cifar",
        "_depth_extras",
        "_depth_speed",
    ),
    "curvature": (
        "_curvature",
        "_curvature_quadratic",
        "_curvature_networks",
        "_curvature_kernel",
        "_curvature_convection",
        "_curvature_speed",
    ),
    "pinns": (
        "_pinns",
        "_pinns_failures",
        "_pinns_curriculum",
        "_pinns_frozen",
        "_pinns_weights",
        "_pinns_inverse",
        "_pinns_deepxde",
        "_pinns_diagnosis",
        "_pinns_waves",
        "_pinns_family",
    ),
    "sequences": (
        "_sequences",
        "_sequences_exact",
        "_sequences_tasks",
        "_sequences_ecg",
        "_sequences_mnist",
        "_sequences_irregular",
        "_sequences_forecast",
        "_sequences_speed",
        "_sequences_gpu",
    ),
    "robustness": ("_robustness",),
    "wake": (
        "_wake",
        "_wake_grid",
        "_wake_periodic",
        "_wake_steady",
        "_wake_family",
        "_wake_speed",
    ),
    "latent": (
        "_latent",
        "_latent_prior",
        "_latent_koopman",
        "_latent_pendulums",
        "_latent_sst",
        "_latent_sensors",
        "_latent_bodies",
        "_latent_wake",
    ),
    "analog": (
        "_analog",
        "_analog_mnist",
        "_analog_devices",
        "_analog_range",
        "_analog_dynamics",
        "_analog_esnn",
        "_analog_equal",
        "_analog_speed",
        "_analog_cifar",
    ),
    "flat_minima": (
        "_flat_minima",
        "_flat_minima_theory",
        "_flat_minima_picture",
        "_flat_minima_order",
        "_flat_minima_second",
    ),
    "physical": (
        "_physical",
        "_physical_aware",
        "_physical_local",
        "_physical_reservoir",
        "_physical_vowels",
        "_physical_equilibrium",
        "_physical_quantised",
    ),
}


def studies() -> dict[str, Study]:
    """All studies by name, loaded.

    ```python
    >>> from pendula.studies import studies
    >>> sorted(studies())[:5]
    ['analog', 'continuity', 'curvature', 'depth', 'families']

    ```
    """
    return {name: _load(name) for name in _MODULES}


def _load(name: str) -> Study:
    order = [import_module(f".{m}", __package__).__name__ for m in _MODULES[name]]
    found: Study = lookup("study", name)
    # somebody may have imported a later module first; the sort keeps a module's parts
    place = lambda item: order.index(item[1].measure.__module__)
    parts = sorted(found.parts.items(), key=place)
    found.parts.clear()
    found.parts.update(parts)
    return found


def select(name: str) -> list[tuple[Study, list[Part]]]:
    """The studies and parts that `all`, `STUDY` or `STUDY.PART` names.

    **Raises:** `ConfigError` with the nearest name.
    """
    if name == "all":
        return [(found, list(found.parts.values())) for found in studies().values()]
    head, _, tail = name.partition(".")
    if head not in _MODULES:
        raise ConfigError(
            f'unknown study "{name}".{nearest(head, [*_MODULES, "all"])} Known: '
            f"{', '.join(_MODULES)}, all."
        )
    found = _load(head)
    if not tail:
        return [(found, list(found.parts.values()))]
    if tail not in found.parts:
        raise ConfigError(
            f'study {head} has no part "{tail}".{nearest(tail, found.parts)} Parts: '
            f"{', '.join(found.parts)}."
        )
    return [(found, [found.parts[tail]])]
