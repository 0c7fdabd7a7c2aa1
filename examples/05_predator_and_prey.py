"""Predator and prey from one noisy record, and what can be said of them.

The law is not known, and one record with 5 % noise does not pin it down everywhere. An
ensemble says what does hold: where both populations could stay as they are, how long a
cycle takes, and whether it draws neighbours in.
"""

# %% Data: 30 years, ten counts a year
import matplotlib.pyplot as plt
import numpy as np

import pendula
from pendula.diagnostics import equilibria, limit_cycle
from pendula.dynamics import ModelConfig


truth = {"growth": 1.0, "predation": 1.0, "conversion": 1.0, "death": 1.0}
data = pendula.simulate(
    "lotka_volterra", y0=[1.8, 1.0], duration=30.0, dt=0.1, noise=0.05, params=truth
)

# %% Model: both rates are learned, each a function of both populations
model = ModelConfig(learn="field", order="first", width=8)

# %% Fit: five members that differ in weights and in how stiff they are
fitted = pendula.fit(None, data, pendula.FitConfig(model))
print(fitted.summary())

# %% Simulate: the rest state and the cycle of every member
low, high = np.nanmin(data.ys[0], axis=0), np.nanmax(data.ys[0], axis=0)
rests, cycles = [], []
for k in range(fitted.members):
    law = fitted.model(k).field
    rests += [rest.y for rest in equilibria(law, low, high, num=32)]
    cycle = limit_cycle(law, data.ys[0, -1], 30.0, dt=0.05)
    cycles += [] if cycle is None else [cycle]

# %% Judge: what the members agree on
for name, values in zip(data.names, np.transpose(rests), strict=False):
    print(f"{name} rests at {values.min():.2f} to {values.max():.2f} (truth: 1)")
print(f"{len(cycles)} of {fitted.members} members go around a cycle")
if cycles:
    periods = [cycle.period for cycle in cycles]
    factors = [abs(cycle.multipliers[0]) for cycle in cycles]
    print(f"its period is {min(periods):.2f} to {max(periods):.2f}")
    # 1 in truth: every orbit of this system is closed
    print(f"a turn multiplies distances by {min(factors):.2f} to {max(factors):.2f}")
print(*fitted.report["behaviour"]["text"], sep="\n")

figure, axis = plt.subplots(figsize=(5, 4.5), layout="constrained")
axis.plot(*data.ys[0].T, ".", color="grey", ms=3, label="counts")
for cycle in cycles:
    axis.plot(*cycle.ys.T, color="C0", linewidth=0.8)
axis.plot(*np.reshape(rests, (-1, 2)).T, "o", color="C1", label="rest states")
axis.set(xlabel=data.names[0], ylabel=data.names[1])
axis.legend()
figure.savefig("predator.png", dpi=150)
