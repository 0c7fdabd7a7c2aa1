"""What both sides of a comparison are told, and how they take times."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np


def told(nets=(), chips=None):
    """Options of the program, and the arrays of its case; `nets`: which there are;
    `chips`: how many without the option."""
    parser = argparse.ArgumentParser()
    if nets:
        parser.add_argument("--net", choices=nets, required=True)
    if chips:
        parser.add_argument("--chips", type=int, default=chips)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with np.load(options.data) as stored:
        return options, dict(stored)


def median_seconds(product, rounds):
    """Median time of a call; the first ones are not counted."""
    for _ in range(3):
        product()
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        product()
        took.append(time.perf_counter() - began)
    return float(np.median(took))
