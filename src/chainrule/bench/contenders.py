"""Who is timed: our compiled step, our eager one, and the peers that are installed; and the settings of each."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from chainrule.bench.programs import jitted, torchlike
from chainrule.bench.programs.program import Makers
from chainrule.bench.workloads import Workload
from chainrule.errors import UsageError


@dataclass(frozen=True)
class Contender:
    """One column of the table.

    Args:
        name: its name in commands and JSON.
        title: its name in the table.
        package: what has to be installed.
        makers: the ways of writing a workload in it; the fastest counts.
        compiles: whether its first call compiles, so that its time is worth printing.
    """

    name: str
    title: str
    package: str
    makers: Callable[[Workload], Makers]
    compiles: bool = False

    @property
    def is_peer(self) -> bool:
        """Whether it is another library."""
        return self.package != "chainrule"

    def can_run(self, workload: Workload) -> bool:
        """Whether it has a way to do the row: many steps in one call are for programs that compile a loop."""
        return workload.scanned is None or self.name in ("chainrule", "jax")


CONTENDERS = (
    Contender("chainrule", "chainrule", "chainrule", torchlike.chainrule_compiled, compiles=True),
    Contender("chainrule-eager", "eager", "chainrule", torchlike.chainrule_eager),
    Contender("torch", "PyTorch", "torch", torchlike.torch_eager),
    Contender("torch-compile", "torch.compile", "torch", torchlike.torch_compiled, compiles=True),
    Contender("jax", "JAX", "jax", jitted.jax_jitted, compiles=True),
)

PEERS = ("torch", "jax")
"""The packages that `--peers` may name."""


def named(name: str) -> Contender:
    """The contender of this name."""
    return next(contender for contender in CONTENDERS if contender.name == name)


def chosen(peers: str) -> tuple[Contender, ...]:
    """Our two contenders and those of the peers asked for.

    Args:
        peers: `auto` for those that are installed, `none`, or names with commas between.

    Raises:
        UsageError: where a peer is unknown or not installed.
    """
    if peers == "auto":
        packages = {name for name in PEERS if importlib.util.find_spec(name) is not None}
    else:
        packages = set(_asked(peers.split(","))) if peers != "none" else set()
    return tuple(c for c in CONTENDERS if not c.is_peer or c.package in packages)


def _asked(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        if name not in PEERS:
            raise UsageError(f"--peers takes auto, none or {' and '.join(PEERS)} with commas between, not '{name}'")
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"--peers: {name} is not installed", mend="pip install 'chainrule[bench]'")
        yield name


def environment(threads: int, cache: str) -> dict[str, str]:
    """The environment of a contender's process: how many threads, and empty caches in the folder `cache`.

    Every library reads these before it is loaded. XLA makes its pool as large as the processors it may use, which
    the session limits as well.
    """
    count = str(threads)
    return os.environ | {
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}",
        "TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor",
        "CHAINRULE_CACHE_DIR": f"{cache}/chainrule",
        "PYTHONHASHSEED": "0",
    }


def prepare(contender: Contender, threads: int) -> None:
    """Loads the library, has it load what it puts off until first use, and gives it the settings that only a call can.

    PyTorch flushes denormal numbers to zero here, as our compiled step and XLA do by default.
    """
    if contender.package == "torch":
        torch: Any = importlib.import_module("torch")
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        weight = torch.zeros(1, requires_grad=True)
        weight.sum().backward()
        torch.optim.SGD([weight]).step()
    elif contender.package == "jax":
        jax: Any = importlib.import_module("jax")
        jax.jit(jax.grad(jax.numpy.sin))(0.0)
