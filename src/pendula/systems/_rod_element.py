"""The bending and twisting element of a rod: strains of two adjacent edges, their
energy, its slope in closed form, and its curvature.

An element sees two edges e and f and the angles of their material frames. The reference
frames are carried from those of the last accepted step (time-parallel), so that the
energy is one smooth function of the positions inside a step. `"3 elem"` arrays hold
components first.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._rod_bending import BendingLaw
from ._rod_frames import cross, dot, signed_angle, transport, turned


Vectors = Float[Array, "3 elem"]
Numbers = Float[Array, "elem"]


class Frozen(NamedTuple):
    """What an element keeps from the last accepted step: tangents, reference
    directors, reference twist."""

    t_e: Vectors
    t_f: Vectors
    d_e: Vectors
    d_f: Vectors
    twist: Numbers


class Stiffness(NamedTuple):
    """Stiffnesses over the Voronoi length, and strains at rest, of
    (kappa1, kappa2, tau) `"3 elem"`; the law of bending and the Voronoi lengths where
    it is not linear."""

    over_length: Vectors
    rest: Vectors
    law: BendingLaw | None = None
    lengths: Numbers | None = None

    def parts(self, strains: Vectors) -> tuple[Vectors, Vectors, Vectors]:
        """Energy, its slope and second derivative in the strains."""
        off, k = strains - self.rest, self.over_length
        if self.law is None or self.lengths is None:
            return 0.5 * k * off * off, k * off, k
        by = self.lengths[None]
        psi, slope, tangent = self.law.parts(off[:2] / by)
        bent = (psi * by * by, slope * by, tangent)
        twisted = (0.5 * off[2] * off[2], off[2], jnp.ones_like(off[2]))
        join = lambda b, t: k * jnp.concatenate([b, t[None]])
        energy, force, second = (join(b, t) for b, t in zip(bent, twisted, strict=True))
        return energy, force, second


class Strained(NamedTuple):
    """Strains `"3 elem"` and what their slopes are made of."""

    strains: Vectors
    edges: tuple[Vectors, Vectors]  # unit vectors
    lengths: tuple[Numbers, Numbers]
    binormal: Vectors
    chi: Numbers
    frames: tuple[tuple[Vectors, Vectors], tuple[Vectors, Vectors]]


def strains_of(y: Float[Array, "8 elem"], frozen: Frozen) -> Strained:
    r"""Curvatures and twist of elements y = (e, theta_e, f, theta_f).

    $$ \kappa b = \frac{2\, t_e \times t_f}{1 + t_e \cdot t_f}, \quad
       \kappa_1 = \tfrac12 \kappa b \cdot (m_2^e + m_2^f), \quad
       \kappa_2 = -\tfrac12 \kappa b \cdot (m_1^e + m_1^f), \quad
       \tau = \theta_f - \theta_e + m $$

    integrated over the Voronoi length, without dimension.
    **Source:** Bergou et al. 2010, Discrete Viscous Threads; Jawed, Novelia,
    O'Reilly 2018.
    """
    e, f = y[:3], y[4:7]
    l_e, l_f = jnp.sqrt(dot(e, e)), jnp.sqrt(dot(f, f))
    t_e, t_f = e / l_e[None], f / l_f[None]
    d_e = transport(frozen.d_e, frozen.t_e, t_e)
    d_f = transport(frozen.d_f, frozen.t_f, t_f)
    moved = turned(transport(d_e, t_e, t_f), t_f, frozen.twist)
    twist = frozen.twist + signed_angle(moved, d_f, t_f)
    frame_e = material(d_e, t_e, y[3])
    frame_f = material(d_f, t_f, y[7])
    chi = 1.0 + dot(t_e, t_f)
    kb = 2.0 * cross(t_e, t_f) / chi[None]
    strains = jnp.stack(
        [
            0.5 * dot(kb, frame_e[1] + frame_f[1]),
            -0.5 * dot(kb, frame_e[0] + frame_f[0]),
            y[7] - y[3] + twist,
        ]
    )
    return Strained(strains, (t_e, t_f), (l_e, l_f), kb, chi, (frame_e, frame_f))


def material(d: Vectors, t: Vectors, theta: Numbers) -> tuple[Vectors, Vectors]:
    """The material directors m1, m2 at an angle from the reference director d."""
    other, c, s = cross(t, d), jnp.cos(theta)[None], jnp.sin(theta)[None]
    return c * d + s * other, c * other - s * d


def element_energy(
    y: Float[Array, "8 elem"], frozen: Frozen, stiff: Stiffness
) -> Vectors:
    r"""Energy of each element, by strain: $\tfrac12 K (s - \bar s)^2$, or that of its
    law."""
    return stiff.parts(strains_of(y, frozen).strains)[0]


def element_slope(
    y: Float[Array, "8 elem"], frozen: Frozen, stiff: Stiffness
) -> Float[Array, "8 elem"]:
    r"""Slope of `element_energy` in y, in closed form.

    With $\tilde t = (t_e + t_f)/\chi$ and $\tilde d_i = (m_i^e + m_i^f)/\chi$:

    $$ \partial_e \kappa_1 = (-\kappa_1 \tilde t + t_f \times \tilde d_2)/|e|, \quad
       \partial_f \kappa_1 = (-\kappa_1 \tilde t - t_e \times \tilde d_2)/|f|, $$
    $$ \partial_e \kappa_2 = (-\kappa_2 \tilde t - t_f \times \tilde d_1)/|e|, \quad
       \partial_f \kappa_2 = (-\kappa_2 \tilde t + t_e \times \tilde d_1)/|f|, $$
    $$ \partial_e \tau = \kappa b/(2|e|), \quad \partial_f \tau = \kappa b/(2|f|) $$

    The frames are carried from those of the last step, and turn about their edge when
    it moves on: $d\theta = A \cdot de$, $A = -(t_0 \times t)/((1 + t_0 \cdot t)|e|)$
    (the holonomy of transport), which adds the slope in theta times A.
    """
    s = strains_of(y, frozen)
    (t_e, t_f), (l_e, l_f), kb = s.edges, s.lengths, s.binormal
    (m1e, m2e), (m1f, m2f) = s.frames
    k1, k2, kt = stiff.parts(s.strains)[1]
    chi = s.chi[None]
    # forces K_c (strain_c - rest_c) on both edges, gathered before the products
    along = (t_e + t_f) * ((k1 * s.strains[0] + k2 * s.strains[1]) / s.chi)[None]
    side = (k1[None] * (m2e + m2f) - k2[None] * (m1e + m1f)) / chi
    twist = 0.5 * kt[None] * kb
    on_e = (-along + cross(t_f, side) + twist) / l_e[None]
    on_f = (-along - cross(t_e, side) + twist) / l_f[None]
    turn = lambda m1, m2: -0.5 * dot(kb, k1[None] * m1 + k2[None] * m2)
    turn_e, turn_f = turn(m1e, m2e) - kt, turn(m1f, m2f) + kt
    on_e = on_e + turn_e[None] * holonomy(frozen.t_e, t_e, l_e)
    on_f = on_f + turn_f[None] * holonomy(frozen.t_f, t_f, l_f)
    return jnp.concatenate([on_e, turn_e[None], on_f, turn_f[None]])


def holonomy(a: Vectors, t: Vectors, length: Numbers) -> Vectors:
    """How far a frame carried from a to t turns about t, for each unit of length that
    the edge moves."""
    return -cross(a, t) / ((1.0 + dot(a, t)) * length)[None]


def element_curvature(
    y: Float[Array, "8 elem"], frozen: Frozen, stiff: Stiffness
) -> tuple[Float[Array, "8 elem"], Float[Array, "8 8 elem"]]:
    r"""Slope and exact second derivative of `element_energy`, in closed form.

    $$ H = \sum_c K_c \left( s_c' s_c'^\top + (s_c - \bar s_c)\, s_c'' \right) $$

    (with a law of bending, its tangent and its moment for both factors)
    with the second derivatives of curvatures and twist for frames carried from where
    the edges are, and the turn of the frames carried from the last step
    $\Psi$: $d\Psi = A \cdot de$ joins theta,
    $\Psi'' = \mathrm{sym}\left(t w^\top \frac{2}{s l^2} + w (P t_0)^\top
    \frac{1}{s^2 l^2}\right)$, $w = t_0 \times t$, $s = 1 + t_0 \cdot t$,
    $P = I - t t^\top$ (the second derivative of minus the solid angle of t_0, t and
    the direction moved to). Measured at 1215 elements: 30 times as fast as plain
    differentiation, in a sixth of the time to compile.
    **Source:** Bergou et al. 2010 for the strains; the holonomy is ours.
    """
    s = strains_of(y, frozen)
    (t_e, t_f), (l_e, l_f), kb, chi = s.edges, s.lengths, s.binormal, s.chi
    (m1e, m2e), (m1f, m2f) = s.frames
    _, force, second = stiff.parts(s.strains)
    k1, k2, kt = force
    tt, zero = (t_e + t_f) / chi[None], jnp.zeros_like(chi)
    eye = jnp.eye(3, dtype=y.dtype)[:, :, None]
    a_e, a_f = holonomy(frozen.t_e, t_e, l_e), holonomy(frozen.t_f, t_f, l_f)

    slopes = _strain_slopes(s, a_e, a_f)
    slope = jnp.sum(force[:, None] * slopes, axis=0)
    stiffened = second[:, None] * slopes
    whole = sum(_outer(stiffened[c], slopes[c]) for c in range(3))

    # second derivatives of the strains, weighted by their forces
    d1, d2 = (m1e + m1f) / chi[None], (m2e + m2f) / chi[None]
    mu = k1 * s.strains[0] + k2 * s.strains[1]
    side = k1[None] * d2 - k2[None] * d1
    f_side, e_side = cross(t_f, side), cross(t_e, side)
    q_e, q_f = k1[None] * m2e - k2[None] * m1e, k1[None] * m2f - k2[None] * m1f
    p_e, p_f = k1[None] * m1e + k2[None] * m2e, k1[None] * m1f + k2[None] * m2f
    both = _outer(tt, tt) * _wide(2.0 * mu)
    ee = (
        both
        - _both(f_side, tt)
        - (eye - _outer(t_e, t_e)) * _wide(mu / chi)
        + 0.25 * _both(kb, q_e - kt[None] * (t_e + tt))
    ) / _wide(l_e * l_e)
    ff = (
        both
        + _both(e_side, tt)
        - (eye - _outer(t_f, t_f)) * _wide(mu / chi)
        + 0.25 * _both(kb, q_f - kt[None] * (t_f + tt))
    ) / _wide(l_f * l_f)
    ef = (
        both
        - _outer(f_side, tt)
        + _outer(tt, e_side)
        - (eye + _outer(t_e, t_f)) * _wide(mu / chi)
        - _skew(side)
        + _skew(t_e) * _wide(kt / chi)
        - 0.5 * _outer(kb, tt) * _wide(kt)
    ) / _wide(l_e * l_f)
    ten = lambda p: 0.5 * dot(kb, p)[None] * tt
    e_te = (ten(p_e) - cross(t_f, p_e) / chi[None]) / l_e[None]
    f_te = (ten(p_e) + cross(t_e, p_e) / chi[None]) / l_f[None]
    e_tf = (ten(p_f) - cross(t_f, p_f) / chi[None]) / l_e[None]
    f_tf = (ten(p_f) + cross(t_e, p_f) / chi[None]) / l_f[None]
    te_te, tf_tf = -0.5 * dot(kb, q_e), -0.5 * dot(kb, q_f)

    # the frames turn when the edges move on from where they were carried from
    ee = ee + _both(a_e, e_te) + _outer(a_e, a_e) * _wide(te_te)
    ff = ff + _both(a_f, f_tf) + _outer(a_f, a_f) * _wide(tf_tf)
    ef = ef + _outer(a_e, f_te) + _outer(e_tf, a_f)
    e_te, f_tf = e_te + a_e * te_te[None], f_tf + a_f * tf_tf[None]
    ee = ee + _bent(frozen.t_e, t_e, l_e) * _wide(slope[3])
    ff = ff + _bent(frozen.t_f, t_f, l_f) * _wide(slope[7])

    rows = [
        [ee, e_te[:, None], ef, e_tf[:, None]],
        [e_te[None], te_te[None, None], f_te[None], zero[None, None]],
        [ef.transpose(1, 0, 2), f_te[:, None], ff, f_tf[:, None]],
        [e_tf[None], zero[None, None], f_tf[None], tf_tf[None, None]],
    ]
    parts = [jnp.concatenate(row, axis=1) for row in rows]
    return slope, whole + jnp.concatenate(parts, axis=0)


def _strain_slopes(s: Strained, a_e: Vectors, a_f: Vectors) -> Float[Array, "3 8 elem"]:
    """Slopes of the three strains in y, the turn of the carried frames included."""
    (t_e, t_f), (l_e, l_f), kb, chi = s.edges, s.lengths, s.binormal, s.chi
    (m1e, m2e), (m1f, m2f) = s.frames
    tt, one = (t_e + t_f) / chi[None], jnp.ones_like(chi)
    d1, d2 = (m1e + m1f) / chi[None], (m2e + m2f) / chi[None]
    on_1, on_2 = s.strains[0][None] * tt, s.strains[1][None] * tt
    by_te = -0.5 * jnp.stack([dot(kb, m1e), dot(kb, m2e), 2.0 * one])
    by_tf = -0.5 * jnp.stack([dot(kb, m1f), dot(kb, m2f), -2.0 * one])
    by_e = jnp.stack([cross(t_f, d2) - on_1, -cross(t_f, d1) - on_2, 0.5 * kb])
    by_f = jnp.stack([-cross(t_e, d2) - on_1, cross(t_e, d1) - on_2, 0.5 * kb])
    by_e = by_e / l_e[None, None] + by_te[:, None] * a_e[None]
    by_f = by_f / l_f[None, None] + by_tf[:, None] * a_f[None]
    return jnp.concatenate([by_e, by_te[:, None], by_f, by_tf[:, None]], axis=1)


def _wide(x: Numbers) -> Float[Array, "1 1 elem"]:
    """A number of each element, to go with matrices."""
    return x[None, None]


def _outer(a: Array, b: Array) -> Array:
    """a b^T of each element `"i j elem"`."""
    return a[:, None] * b[None]


def _both(a: Array, b: Array) -> Array:
    """a b^T + b a^T."""
    ab = _outer(a, b)
    return ab + ab.transpose(1, 0, 2)


def _skew(a: Array) -> Array:
    """The matrix of a x."""
    zero = jnp.zeros_like(a[0])
    rows = [[zero, -a[2], a[1]], [a[2], zero, -a[0]], [-a[1], a[0], zero]]
    return jnp.stack([jnp.stack(row) for row in rows])


def _bent(a: Array, t: Array, length: Array) -> Array:
    """Second derivative of the turn of a frame that is carried from a to t."""
    w, s = cross(a, t), 1.0 + dot(a, t)
    beside = a - dot(a, t)[None] * t
    return _both(w, t / s[None] + 0.5 * beside / (s * s)[None]) / _wide(length * length)
