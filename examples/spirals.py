"""A problem of your own for the command line: two spirals, one inside the other.

    chainrule train examples/spirals.py:build
    chainrule train examples/spirals.py:build --set turns=1.5 --set width=64 --schedule cosine --epochs 200

`train` calls the function and keeps the file's hash with the run, so that `predict` and `--resume` build the same.
"""

import numpy as np

from chainrule import nn, optim


def build(points: int = 600, turns: float = 1.0, width: int = 32) -> dict:
    """The model, its loss, and points (n, 2) on two spirals with the number of the spiral."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Linear(2, width), nn.Tanh(),
        nn.Linear(width, width), nn.Tanh(),
        nn.Linear(width, 2),
    )  # fmt: skip
    return {
        "model": model,
        "loss": nn.CrossEntropyLoss(),
        "train": spirals(points, turns, rng),
        "optimizer": optim.Adam(model.parameters(), lr=0.02),
        "test": spirals(points // 2, turns, rng),
    }


def spirals(n: int, turns: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """n points on two spirals, with a little noise, and which spiral each is on."""
    which = rng.integers(2, size=n)
    radius = np.sqrt(rng.uniform(0.02, 1, n))
    angle = 2 * np.pi * turns * radius + np.pi * which
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return points + rng.normal(scale=0.02, size=(n, 2)), which
