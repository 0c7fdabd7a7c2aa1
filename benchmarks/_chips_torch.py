"""The same chips by a loop in PyTorch: the peer of `_chips_ours.py`."""

from __future__ import annotations

import importlib
import json
from typing import Any

from _timing import median_seconds, told


torch: Any = importlib.import_module("torch")  # by name: it may not be installed


def main():
    """Times a chip, and says the mean accuracy."""
    options, found = told(chips=100)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    parts = [torch.tensor(found[f"{k}{i}"]) for i in range(3) for k in "wb"]
    spans = [0.1 * (p.max() - p.min()) for p in parts]
    # equal biases have no span: twice their size
    spans = [
        s if s > 0 else 0.2 * p.abs().max() for s, p in zip(spans, parts, strict=True)
    ]
    x, y = torch.tensor(found["x"]), torch.tensor(found["y"])
    linear, relu = torch.nn.functional.linear, torch.relu

    def run():
        right = 0.0
        with torch.no_grad():
            for _ in range(options.chips):
                w = [
                    p + s * torch.randn_like(p)
                    for p, s in zip(parts, spans, strict=True)
                ]
                h = relu(linear(x, w[0], w[1]))
                h = relu(linear(h, w[2], w[3]))
                logits = linear(h, w[4], w[5])
                right += (logits.argmax(1) == y).float().mean().item()
        return right / options.chips

    seconds = median_seconds(run, options.rounds) / options.chips
    options.out.write_text(
        json.dumps({"seconds": seconds, "accuracy": run()}), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
