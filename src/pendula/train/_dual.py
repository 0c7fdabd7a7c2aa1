r"""The Levenberg-Marquardt step of few residuals and many unknowns.

With $J$ the Jacobian of all residuals in all unknowns, $D$ the diagonal of their prior
precisions and damping, $g$ the slope of the prior,

$$ -\Big(D + \frac{J^\top J}{\sigma^2}\Big)^{-1}\Big(g + \frac{J^\top r}{\sigma^2}\Big)
   = D^{-1}\Big(J^\top \big(\sigma^2 I + J D^{-1} J^\top\big)^{-1}
     (J D^{-1} g - r) - g\Big) $$

so that what is factorised is as large as the residuals are many, not as the unknowns.
Every unknown needs a prior: where D is next to nothing, the right side loses digits.

**Source:** Woodbury's identity; as Gaussian processes are solved (Rasmussen, Williams
2006, chapter 2).
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Rows(eqx.Module):
    """The residuals of all stretches and their slopes, in place of normal equations.

    `jp` `"item row param"`, `js` `"item row local"`, `r` `"item row"`.
    """

    jp: Float[Array, "item row param"]
    js: Float[Array, "item row local"]
    r: Float[Array, "item row"]

    @property
    def gp(self) -> Float[Array, "param"]:
        """Slope of half the sum of squares in the shared unknowns."""
        return jnp.einsum("irp,ir->p", self.jp, self.r)

    @property
    def gs(self) -> Float[Array, "item local"]:
        """The same in the local ones."""
        return jnp.einsum("irl,ir->il", self.js, self.r)

    @property
    def rss(self) -> Float[Array, ""]:
        """Sum of squared residuals."""
        return jnp.sum(self.r * self.r)


def dual_step(
    rows: Rows,
    d: Float[Array, "param"],
    e: Float[Array, "item local"],
    slope_p: Float[Array, "param"],
    slope_s: Float[Array, "item local"],
    variance: Float[Array, ""],
) -> tuple[Float[Array, "param"], Float[Array, "item local"]]:
    """The step of the shared and of the local unknowns; `d` and `e` are the entries of
    D, `slope_p` and `slope_s` those of g."""
    items, number, size = rows.jp.shape
    jp, r = rows.jp.reshape(-1, size), rows.r.reshape(-1)
    scaled = rows.js / e[:, None]
    ahead = jp @ (slope_p / d) + jnp.einsum("irl,il->ir", scaled, slope_s).reshape(-1)
    own = jnp.einsum("irl,isl->irs", scaled, rows.js)
    kernel = (jp / d[None]) @ jp.T + on_diagonal(own)
    # rounding must not make the factorisation of noise-free data fail
    least = 10 * jnp.finfo(r.dtype).eps * jnp.mean(jnp.diag(kernel))
    kernel = kernel + (variance + least) * jnp.eye(len(r), dtype=r.dtype)
    x = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(kernel), ahead - r)
    back = jnp.einsum("irl,ir->il", rows.js, x.reshape(items, number))
    return (jp.T @ x - slope_p) / d, (back - slope_s) / e


def on_diagonal(
    blocks: Float[Array, "block row column"],
) -> Float[Array, "block_row block_column"]:
    """Blocks on a diagonal, in one operation: there may be hundreds of them."""
    number, row, column = blocks.shape
    which = jnp.eye(number, dtype=bool)[:, None, :, None]
    wide = jnp.where(which, blocks[:, :, None], 0.0)
    return wide.reshape(number * row, number * column)
