"""The workloads of the benchmarks, written once for chainrule and PyTorch: their names are the same.

Run as a worker: `python workloads.py LIBRARY THREADS` reads a line `WORKLOAD SECONDS` at a time from standard input and
answers with the median time of one step in microseconds.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

Step = Callable[[], Any]

MLPS = {
    "mlp-64-adam": ([64, 64, 64, 10], 32, "adam"),
    "mlp-784-momentum": ([784, 128, 64, 10], 32, "momentum"),
    "mlp-1024-momentum": ([1024, 1024, 1024, 10], 512, "momentum"),
    "mlp-1024-adam": ([1024, 1024, 1024, 10], 512, "adam"),
}
WORKLOADS = ("four-ops", *MLPS)
LIBRARIES = ("chainrule", "torch", "torch-fused")


def library(name: str) -> tuple[Any, Any, Any, Any]:
    """(library, nn, functional, optim)."""
    if name == "chainrule":
        import chainrule
        import chainrule.nn.functional as functional
        from chainrule import nn, optim

        return chainrule, nn, functional, optim
    import torch
    import torch.nn.functional as torch_functional

    return torch, torch.nn, torch_functional, torch.optim


def make(workload: str, name: str) -> Step:
    """A function that runs one step of the workload."""
    if workload == "four-ops":
        return four_ops(importlib.import_module(name.removesuffix("-fused")))
    lib, nn, functional, optim = library(name)
    lib.manual_seed(0)
    sizes, batch, optimiser = MLPS[workload]
    layers: list[Any] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    options = {"fused": True} if name == "torch-fused" else {}
    if optimiser == "adam":
        opt = optim.Adam(model.parameters(), lr=1e-3, **options)
    else:
        opt = optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, **options)
    x, y = lib.randn(batch, sizes[0]), lib.randint(0, 10, (batch,))

    def step() -> Any:
        opt.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        return loss

    return step


def four_ops(lib: Any) -> Step:
    """x @ w + b, relu, sum, backward on 8 x 8."""
    x = lib.randn(8, 8)
    w, b = lib.randn(8, 8, requires_grad=True), lib.randn(8, requires_grad=True)

    def step() -> Any:
        w.grad = b.grad = None
        loss = (x @ w + b).relu().sum()
        loss.backward()
        return loss

    return step


def median_microseconds(step: Step, seconds: float) -> float:
    """The median over batches of at least a millisecond."""
    step()
    start = time.perf_counter()
    step()
    batch = max(1, int(1e-3 / (time.perf_counter() - start)))
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        for _ in range(batch):
            step()
        times.append((time.perf_counter() - start) / batch)
    return statistics.median(times) * 1e6


def worker(name: str, threads: int) -> None:
    if name != "chainrule":
        import torch

        torch.set_num_threads(threads)
    steps: dict[str, Step] = {}
    for line in sys.stdin:
        workload, seconds = line.split()
        if workload not in steps:
            steps[workload] = make(workload, name)
            for _ in range(20):
                steps[workload]()
        print(json.dumps(median_microseconds(steps[workload], float(seconds))), flush=True)


def environment(threads: int) -> dict[str, str]:
    """A worker's environment: BLAS takes its thread count before it is loaded."""
    count = str(threads)
    return os.environ | {"OPENBLAS_NUM_THREADS": count, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}


if __name__ == "__main__":
    worker(sys.argv[1], int(sys.argv[2]))
