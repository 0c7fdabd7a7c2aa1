"""Times forward and backward passes of recurrent networks in PyTorch: LEM and the
Lipschitz network as loops over time, the LSTM as a loop and fused. The peer's side of
`test_sequences.py` and of part `speed` of study `sequences`. The projections of the
input are taken for all times at once, which is the faster way here, too."""

from __future__ import annotations

import json

import torch
from _timing import median_seconds, told
from torch.nn import functional


def skewed(m, beta, gamma):
    """(1 - beta)(M + M') + beta (M - M') - gamma I."""
    mixed = (1 - beta) * (m + m.T) + beta * (m - m.T)
    return mixed - gamma * torch.eye(len(m))


def lem(w, us, dt):
    """Last y, time in front of `us`."""
    n = w["matrix_y"].shape[0]
    bias = w["bias"] + torch.cat([w["bias_matrix"], w["bias_y"]])
    fed = functional.linear(us, w["input"], bias)
    y = z = torch.zeros(us.shape[1], n)
    first, matrix, matrix_y = fed[..., : 3 * n], w["matrix"].T, w["matrix_y"].T
    for a, b in zip(first.unbind(0), fed[..., 3 * n :].unbind(0), strict=True):
        inner = torch.addmm(a, y, matrix)
        scales = dt * torch.sigmoid(inner[:, : 2 * n])
        z = torch.lerp(z, torch.tanh(inner[:, 2 * n :]), scales[:, :n])
        y = torch.lerp(y, torch.tanh(torch.addmm(b, z, matrix_y)), scales[:, n:])
    return y


def lipschitz(w, us, dt, beta=0.75, gamma=0.001):
    """Last h by Euler's rule."""
    a, m = skewed(w["linear"], beta, gamma).T, skewed(w["matrix"], beta, gamma).T
    fed = functional.linear(us, w["input"], w["bias"])
    h = torch.zeros(us.shape[1], len(m))
    for one in fed.unbind(0):
        slope = torch.addmm(torch.tanh(torch.addmm(one, h, m)), h, a)
        h = torch.add(h, slope, alpha=dt)
    return h


def lstm(w, us, dt):
    """Last h, the gates written out."""
    fed = functional.linear(us, w["weight_ih"], w["bias"])
    n, matrix = w["weight_hh"].shape[1], w["weight_hh"].T
    h = c = torch.zeros(us.shape[1], n)
    for one in fed.unbind(0):
        i, f, g, o = torch.addmm(one, h, matrix).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    return h


def fused(w, us, dt):
    """Last h by PyTorch's own LSTM with these weights."""
    flat = [w["weight_ih"], w["weight_hh"], w["bias"], torch.zeros_like(w["bias"])]
    zero = torch.zeros(1, us.shape[1], w["weight_hh"].shape[1])
    out, _, _ = torch.lstm(us, (zero, zero), flat, True, 1, 0.0, True, False, False)
    return out[-1]


CELLS = {"lem": lem, "lipschitz": lipschitz, "lstm": lstm, "fused": fused}


def main() -> None:
    options, found = told(tuple(CELLS))
    us = torch.as_tensor(found["us"]).transpose(0, 1).contiguous()
    labels = torch.as_tensor(found["labels"]).long()
    kind = "lstm" if options.net == "fused" else options.net
    weights = {
        name.split(".", 1)[1]: torch.tensor(value, requires_grad=True)
        for name, value in found.items()
        if name.startswith(f"{kind}.")
    }
    out = {}

    def step() -> float:
        for one in weights.values():
            one.grad = None
        h = CELLS[options.net](weights, us, float(found["dt"]))
        logits = functional.linear(h, weights["head"], weights["head_bias"])
        loss = functional.cross_entropy(logits, labels)
        loss.backward()
        out["loss"] = loss.item()
        return out["loss"]

    out["seconds"] = median_seconds(step, options.rounds)
    total = sum(float((v.grad**2).sum()) for v in weights.values())
    out["norm"] = total**0.5
    options.out.write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main()
