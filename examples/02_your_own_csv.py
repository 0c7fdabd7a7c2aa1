"""A CSV of your own, and what you know of it.

The file here is written by the example itself; put the name of yours in its place. The
same on the shell:

    pendula fit measured.csv --known spring --free k --learn drag --width 8
"""

# %% Data: any CSV with a time column; units in brackets, empty cells are missing values
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import pendula
from pendula.data import write_csv
from pendula.dynamics import KnownConfig, ModelConfig
from pendula.systems import Harmonic


FILE = Path("measured.csv")
if not FILE.exists():
    world = Harmonic(damping=0.15)
    made = pendula.simulate(
        world,
        y0=[1.0, 0.0],
        duration=40.0,
        dt=0.1,
        observe="q",
        noise=0.01,
        missing=0.05,
    )
    write_csv(made, FILE)
data = pendula.read(FILE)
for decision in data.origin["decisions"]:
    print(f"{decision['what']}: {decision['choice']} ({decision['why']})")

# %% Model: a spring whose stiffness is to be found, and a friction that is learned
spring = KnownConfig("spring", free=("k",))
model = ModelConfig(known=(spring,), learn="drag", width=8)

# %% Fit: the last 20 % of the record are held out
fitted = pendula.fit(None, data, pendula.FitConfig(model))
print(fitted.summary())

# %% Simulate: 40 s ahead from the state q = 1, v = 0; all members of the ensemble
ts = data.ts[0, 0] + 0.1 * np.arange(400)
rollout = fitted.simulate([1.0, 0.0], ts)

# %% Judge: did every member end well, and how far apart are they
spread = rollout.ys[:, -1, 0].std()
print(f"statuses {rollout.status.tolist()}, spread of q at the end {spread:.4f}")

figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.plot(ts, rollout.ys[:, :, 0].T, color="C0", linewidth=0.8)
axes.plot(data.ts[0][data.mask[0, :, 0]], data.ys[0][data.mask[0, :, 0], 0], "k.", ms=3)
axes.set(xlabel="time [s]", ylabel="q")
figure.savefig("measured.png", dpi=150)
fitted.save("measured.safetensors")
