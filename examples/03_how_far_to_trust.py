"""How far a forecast can be trusted: the same data with and without known physics.

Both models are forecast on a swing larger than all they were trained on.
"""

# %% Data: small swings for training, one large swing for the question
import matplotlib.pyplot as plt

import pendula
from pendula.dynamics import KnownConfig, ModelConfig


records = {"duration": 10.0, "dt": 0.05, "observe": "theta", "noise": 0.01}
starts = [[0.5, 0.0], [0.9, 0.0], [1.0, 0.0], [0.6, 1.0], [0.9, -1.0]]
data = pendula.simulate("pendulum", num=5, y0=starts, **records)
large = pendula.simulate("pendulum", y0=[2.2, 0.0], seed=1, **records)

# %% Model: nothing known, and gravity known
gravity = KnownConfig("gravity_pendulum", free=("w2",))
models = {
    "nothing known": ModelConfig(width=8),
    "gravity known": ModelConfig(known=(gravity,), learn="drag", width=8),
}

# %% Fit, simulate, judge: the verdict is about swings like those of the training
figure, axes = plt.subplots(2, figsize=(7, 5), sharex=True, layout="constrained")
for axis, (name, model) in zip(axes, models.items(), strict=True):
    fitted = pendula.fit(None, data, pendula.FitConfig(model))
    verdict = fitted.report["verdict"]
    forecast = fitted.forecast(large, start=3.0)
    share = forecast.outside[forecast.ts > 3.0].mean()
    print(f"{name}: {verdict['text']}")
    print(
        f"  on the large swing: error {forecast.rmse(after=3.0):.3f} rad, "
        f"{forecast.coverage(after=3.0):.0%} in the band, "
        f"{share:.0%} of the states outside the training range"
    )
    axis.fill_between(
        forecast.ts, forecast.low[:, 0], forecast.high[:, 0], alpha=0.3, label="band"
    )
    axis.plot(forecast.ts, forecast.mean[:, 0], label=name)
    axis.plot(large.ts[0], large.ys[0, :, 0], "k:", label="measured")
    axis.set(ylabel="theta [rad]", ylim=(-4, 4))
    axis.legend(loc="upper right")
axes[-1].set(xlabel="time [s]")
figure.savefig("trust.png", dpi=150)
