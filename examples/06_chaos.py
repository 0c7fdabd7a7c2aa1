"""A chaotic system: how long a forecast holds, and what holds beyond it.

Two runs of the Lorenz system part however well it is known. A model of it is judged by
how long its forecast keeps up, by how fast its own runs part, and by the statistics of
a long free run.
"""

# %% Data: 40 units of time for training, and records it never sees
import warnings

import matplotlib.pyplot as plt
import numpy as np

import pendula
from pendula.diagnostics import compare_statistics, lyapunov_exponents, valid_time
from pendula.dynamics import Library, Model, ModelConfig, TrainConfig, exponents


warnings.filterwarnings("ignore", message=".*forgets its start")  # the point of it
record = {"dt": 0.03, "noise": 0.02}
data = pendula.simulate("lorenz", duration=40.0, seed=0, **record)
short = pendula.simulate("lorenz", num=6, duration=12.0, seed=1, **record)
long = pendula.simulate("lorenz", duration=150.0, seed=2, dt=0.03).ys[0, 500:]

# %% Model: each rate is a sum of monomials up to degree 2, with unknown coefficients
spread = data.ys[0].std(axis=0)
terms = exponents(variables=3, degree=2)
rates = Library(terms, out=3, size=spread, out_size=spread / 0.1)
model = Model(rates, observed=(0, 1, 2), dim=3, substeps=3)

# %% Fit: three members, each found by Levenberg-Marquardt on stretches of the record
config = pendula.FitConfig(ModelConfig(order="first"), TrainConfig(members=3))
fitted = pendula.fit(model, data, config)
print(fitted.summary())
print(*fitted.model().field.equations(data.names), sep="\n")

# %% Simulate: forecasts of six records, and one run as long as the long record
errors = []
for k in range(short.num):
    forecast = fitted.forecast(short, trajectory=k, start=3.0)
    errors.append(np.nan_to_num(forecast.mean - forecast.truth, nan=np.inf))
ahead = forecast.ts - forecast.start
run = fitted.simulate(long[0], 0.03 * np.arange(len(long))).ys[0]

# %% Judge: the time to an error of 0.4 of the spread, in units of the exponent
valid = valid_time(np.array(errors), ahead, 0.4 * long.std(axis=0)).median
print(f"forecasts hold for {valid:.1f} (median of {short.num} starts)")
figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
if np.isfinite(run).all():  # a model that learned too little may run away
    growth = lyapunov_exponents(fitted.model(0).field, run[-1], 0.03, 4000)
    rate, error = growth.values[0], growth.errors[0]
    print(f"exponent {rate:.2f} +- {error:.2f}: that is {valid * rate:.1f} e-foldings")
    found = compare_statistics(run, long, 0.03)
    print(f"histograms overlap by {', '.join(f'{o:.0%}' for o in found.overlap)}")
    for j, axis in enumerate(axes):
        axis.stairs(found.share_truth[j], found.edges[j], color="k", label="truth")
        axis.stairs(found.share[j], found.edges[j], color="C0", label="free run")
for name, axis in zip(data.names, axes, strict=True):
    axis.set(xlabel=name, ylabel="share of the time")
axes[0].legend()
figure.savefig("chaos.png", dpi=150)
