"""Times training steps of a ResNet-20 of order "pre" in PyTorch: stem, three stages of
three units, batch norm; the same layers, strides, shortcuts and numbers of weights as
the network 2-2-2. The peer's side of `test_depth_step.py` and of part `speed` of study
`depth`."""

from __future__ import annotations

import json

import torch
from _timing import median_seconds, told
from torch import nn
from torch.nn import functional


class Unit(nn.Module):
    """Norm, ReLU, convolution, twice; the shortcut of another shape is 1 x 1."""

    def __init__(self, inner: int, outer: int, stride: int = 1) -> None:
        super().__init__()
        conv = lambda a, b, s: nn.Conv2d(a, b, 3, s, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(inner), nn.BatchNorm2d(outer)])
        self.convs = nn.ModuleList([conv(inner, outer, stride), conv(outer, outer, 1)])
        same = stride == 1 and inner == outer
        self.short = None if same else nn.Conv2d(inner, outer, 1, stride, bias=False)

    def forward(self, x):
        r = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            r = conv(functional.relu(norm(r)))
        return r + (x if self.short is None else self.short(x))


class ResNet(nn.Module):
    """`units` units in each of three stages of 16, 32, 64 channels."""

    def __init__(self, units: int = 3, width: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        stages, size = [], width
        for k in range(3):
            out = width * 2**k
            stages.append(Unit(size, out, 2 if k else 1))
            stages += [Unit(out, out) for _ in range(units - 1)]
            size = out
        self.stages = nn.Sequential(*stages)
        self.last = nn.BatchNorm2d(size)
        self.head = nn.Linear(size, classes)

    def forward(self, x):
        x = functional.relu(self.stem_norm(self.stem(x)))
        x = functional.relu(self.last(self.stages(x)))
        return self.head(x.mean((2, 3)))


class Torch:
    """Training steps: SGD with momentum 0.9, cross entropy."""

    def __init__(self, xs, labels, *, channels_last: bool) -> None:
        torch.manual_seed(0)
        self.net = ResNet()
        x = torch.as_tensor(xs).permute(0, 3, 1, 2)
        self.x = x if channels_last else x.contiguous()
        if channels_last:
            self.net = self.net.to(memory_format=torch.channels_last)
        self.labels = torch.as_tensor(labels).long()
        self.sgd = torch.optim.SGD(self.net.parameters(), 0.1, momentum=0.9)

    def step(self) -> float:
        """One update; the loss before it."""
        self.sgd.zero_grad()
        loss = functional.cross_entropy(self.net(self.x), self.labels)
        loss.backward()
        self.sgd.step()
        return loss.item()

    def size(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.net.parameters())


def main() -> None:
    options, found = told()
    torch.set_num_threads(1)
    out = {}
    for name, last in (("nchw", False), ("nhwc", True)):
        side = Torch(found["x"], found["y"], channels_last=last)
        losses = [side.step() for _ in range(5)]
        out[name] = median_seconds(side.step, options.rounds)
        out.update(size=side.size(), losses=losses)
    options.out.write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main()
