"""A travelling front as a network: the equation is given, no data are.

The network is the solution of a differential equation. Its form meets the start and
the ends exactly; its weights make the equation hold. It comes with an estimate of its
error, which is held against the front's exact form here.
"""

# %% Problem: Fisher's equation u_t = u_xx + u (1 - u), whose front has a closed form
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from pendula.solutions import Dirichlet, Initial, Interval, Problem, solve


SPEED = 5.0 / np.sqrt(6.0)


def front(x, t=0.0, xp=jnp):
    return (1.0 + xp.exp((x - SPEED * t) / np.sqrt(6.0))) ** -2


fisher = Problem(
    lambda u, x, t, p: u.t - u.xx - p.rate * u() * (1.0 - u()),
    domain=Interval(-10.0, 20.0),
    time=(0.0, 4.0),
    conditions=[Initial(front), Dirichlet(front)],
    params={"rate": 1.0},
)
print("the equation uses", ", ".join(fisher.law.names()))

# %% Solve: windows of time whose lengths follow the residual
found = solve(fisher, tol=1e-4, budget="5 min")
report = found.report
print(f"{len(report.windows) - 1} windows, {report.weights} weights")
print(f"compiled {report.seconds_compile:.1f} s, solved {report.seconds_run:.1f} s")

# %% Look: values and derivatives anywhere, and where the front is
x, t = np.linspace(-10.0, 20.0, 301), np.linspace(0.0, 4.0, 41)
u = found(x[:, None], t[None, :])
steepest = x[np.argmin(found.d("x")(x[:, None], t[None, :]), axis=0)]
print(f"the front moves at {np.polyfit(t, steepest, 1)[0]:.3f}, exactly {SPEED:.3f}")

# %% Judge: the estimated error beside the true one
truth = front(x[:, None], t[None, :], np)
error = np.linalg.norm(u - truth, axis=0) / np.linalg.norm(truth, axis=0)
estimate = report.estimate
print(f"estimated {estimate['overall']:.1e}, true {error.max():.1e} at most")
for fault in report.diagnosis:
    print(f"{fault.code}: {fault.evidence} {fault.advice}")

figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
for k in (0, 20, 40):
    axes[0].plot(x, u[:, k], label=f"t = {t[k]:.0f}")
    axes[0].plot(x, truth[:, k], "k:", linewidth=1)
axes[0].set(xlabel="x", ylabel="u (dotted: exact)")
axes[0].legend()
axes[1].semilogy(estimate["times"][1:], estimate["relative"][1:], label="estimated")
axes[1].semilogy(t[1:], error[1:], "k:", label="true")
axes[1].set(xlabel="t", ylabel="relative error")
axes[1].legend()
figure.savefig("solve.png", dpi=150)
