"""A pendulum from three noisy records: gravity is known, friction is learned.

Run it with `python examples/01_pendulum.py`; it prints an error and writes a figure.
"""

# %% Data: three records of 10 s with noise of 0.01 rad; only the angle is seen
import matplotlib.pyplot as plt

import pendula
from pendula.dynamics import KnownConfig, ModelConfig
from pendula.systems import Pendulum


world = Pendulum(damping=0.1)
records = {"duration": 10.0, "dt": 0.05, "observe": "theta"}
data = pendula.simulate(world, num=3, noise=0.01, seed=0, **records)

# %% Model: theta'' = -w2 sin(theta) - D(theta, theta') theta', w2 and D >= 0 unknown
gravity = KnownConfig("gravity_pendulum", on=("theta",), free=("w2",))
config = pendula.FitConfig(ModelConfig(known=(gravity,), learn="drag", width=8))

# %% Fit: an ensemble of five; hidden velocities and start states are found along
fitted = pendula.fit(None, data, config)
print(fitted.summary())

# %% Simulate: a record it has never seen, forecast from its first 4 s
unseen = pendula.simulate(world, y0=[1.5, 0.0], **records)
forecast = fitted.forecast(unseen, start=4.0)

# %% Judge: error and share of samples in the band, after the 4 s that were looked at
error = forecast.rmse(after=4.0)
print(f"error {error:.4f} rad, {forecast.coverage(after=4.0):.0%} inside the 90 % band")

figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.fill_between(
    forecast.ts, forecast.low[:, 0], forecast.high[:, 0], alpha=0.3, label="90 % band"
)
axes.plot(forecast.ts, forecast.mean[:, 0], label="forecast")
axes.plot(unseen.ts[0], unseen.ys[0, :, 0], "k:", label="truth")
axes.axvline(4.0, color="grey", linewidth=0.8)
axes.set(xlabel="time [s]", ylabel="theta [rad]")
axes.legend(loc="upper right")
figure.savefig("pendulum.png", dpi=150)
