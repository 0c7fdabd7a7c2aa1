"""A driven beam: the input is measured, how it enters is known, the beam is learned.

A beam between two magnets rests on either side; a shaker pushes it back and forth. The
potential is learned from records under one input and asked about another input, and
about rest, which no record shows.
"""

# %% Data: four records under one mix of tones; only the position is seen, with noise
import matplotlib.pyplot as plt
import numpy as np

import pendula
from pendula.diagnostics import equilibria
from pendula.dynamics import KnownConfig, ModelConfig
from pendula.systems import Duffing


def shaker(ts):
    return 0.6 * np.sin(1.3 * ts) + 0.4 * np.cos(0.7 * ts)


world = Duffing(damping=0.2)  # q'' = q - q^3 - 0.2 q' + u
records = {"duration": 20.0, "dt": 0.1, "observe": "q", "noise": 0.01}
starts = [[0.5, 0.0], [-1.0, 0.0], [1.2, 0.5], [0.0, -0.5]]
data = pendula.simulate(world, num=4, y0=starts, us=shaker, **records)

# %% Model: q'' = -V'(q) - c q' + b u with V learned, c and b to be found
known = (KnownConfig("viscous", free=("c",)), KnownConfig("input", free=("b",)))
model = ModelConfig(known=known, learn="energy", order="second", width=8)

# %% Fit
fitted = pendula.fit(None, data, pendula.FitConfig(model))
print(fitted.summary())

# %% Simulate: another input, a record never seen
push = lambda ts: 0.5 * np.sign(np.sin(0.5 * ts))
other = pendula.simulate(world, y0=[1.0, 0.0], us=push, input_kind="held", **records)
forecast = fitted.forecast(other, start=5.0)

# %% Judge: the error, and where the beam rests when the shaker is off
print(
    f"error {forecast.rmse(after=5.0):.3f}, {forecast.coverage(after=5.0):.0%} in band"
)
law = fitted.model().field
for rest in equilibria(law, [-2.0, -2.0], [2.0, 2.0], u=[0.0], num=64):
    print(f"rests at q = {rest.y[0]:.3f}: {rest.kind}")  # -1, 0, 1 in truth

figure, axes = plt.subplots(2, figsize=(7, 4), sharex=True, layout="constrained")
axes[0].fill_between(
    forecast.ts, forecast.low[:, 0], forecast.high[:, 0], alpha=0.3, label="90 % band"
)
axes[0].plot(forecast.ts, forecast.mean[:, 0], label="forecast")
axes[0].plot(other.ts[0], other.ys[0, :, 0], "k:", label="measured")
axes[0].set(ylabel="q", ylim=(-3, 3))
axes[0].legend(loc="lower left")
axes[1].step(other.ts[0], other.us[0, :, 0], color="grey", where="post")
axes[1].set(xlabel="time [s]", ylabel="u")
figure.savefig("driven.png", dpi=150)
