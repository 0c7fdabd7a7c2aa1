"""The same products by PyTorch's double backward: the peer of `_hessian_ours.py`. The
graph of the gradient is kept (`seconds`), or made anew at every product (`full`)."""

from __future__ import annotations

import importlib
import json
from typing import Any

import numpy as np
from _timing import median_seconds, told


torch: Any = importlib.import_module("torch")  # by name: it may not be installed


def mlp(w, x, y):
    """Mean square error of a tanh network."""
    linear = torch.nn.functional.linear
    h = torch.tanh(linear(x, w[0], w[1]))
    for layer in range(w[2].shape[0]):
        h = torch.tanh(linear(h, w[2][layer], w[3][layer]))
    return torch.nn.functional.mse_loss(linear(h, w[4], w[5]), y)


def conv(w, x, y, norms):
    """Cross-entropy of two convolutions with frozen norms and a linear layer."""
    f = torch.nn.functional
    h = x
    for index, stride in enumerate((1, 2)):
        kernel, bias, scale, shift = w[4 * index : 4 * index + 4]
        h = f.conv2d(h, kernel, bias.reshape(-1), stride=stride, padding=1)
        mean, variance = norms[index]
        h = f.batch_norm(h, mean, variance, scale, shift, training=False, eps=1e-5)
        h = torch.tanh(h)
    return f.cross_entropy(f.linear(h.mean((2, 3)), w[8], w[9]), y)


def products(net, found):
    """(product with the graph kept, product from the start), flat results."""
    put = lambda x: torch.tensor(x)
    names = [f"w{i}" for i in range(sum(k[0] == "w" for k in found))]
    w = [put(found[k]).requires_grad_(True) for k in names]
    x, y = put(found["x"]), put(found["y"])
    ends = np.cumsum([p.numel() for p in w])[:-1]
    v = [
        put(part).reshape(p.shape)
        for part, p in zip(np.split(found["v"], ends), w, strict=True)
    ]
    if net == "mlp":
        loss = lambda: mlp(w, x, y)
    else:
        y = y.long()
        norms = [(put(found[f"mean{i}"]), put(found[f"variance{i}"])) for i in (0, 1)]
        loss = lambda: conv(w, x, y, norms)
    slope = lambda: torch.autograd.grad(loss(), w, create_graph=True)
    flat = lambda parts: torch.cat([p.reshape(-1) for p in parts])
    kept = slope()

    def again():
        return flat(torch.autograd.grad(kept, w, grad_outputs=v, retain_graph=True))

    def full():
        return flat(torch.autograd.grad(slope(), w, grad_outputs=v))

    return again, full


def main():
    options, found = told(("mlp", "conv"))
    torch.set_num_threads(1)
    again, full = products(options.net, found)
    out = {
        "seconds": median_seconds(again, options.rounds),
        "full": median_seconds(full, options.rounds),
        "product": again().tolist(),
    }
    options.out.write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main()
