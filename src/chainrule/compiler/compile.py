"""`compile`: a function of tensors as a cached program, one for each signature.

The function runs once for each signature, on placeholders (`trace.py`); what it did is the program, which every
later call runs. State stays where the user sees it: parameters, gradients, the optimiser's moments, buffers.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.compiler import interpret
from chainrule.compiler.program import MISS, Executable, Program
from chainrule.compiler.recorded import Part, recorded
from chainrule.compiler.signatures import signature
from chainrule.compiler.surroundings import Surroundings
from chainrule.errors import ArgumentError, ArgumentTypeError, ShapeError, UnsupportedError
from chainrule.tensor.arrays import copy_of
from chainrule.tensor.functions.random import randperm
from chainrule.tensor.graph import Array, state
from chainrule.tensor.tensor import Tensor, wrap

log = logging.getLogger("chainrule.compiler")

MOST_PROGRAMS = 64
"""Of one function: the oldest goes when another signature comes."""


def compile(
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = True,
    dynamic: bool | None = None,
    backend: Any = None,
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
    denormals: str = "flush",
) -> Any:
    """The function (or module) as machine code; also a decorator: `@compile` or `@compile(denormals="keep")`.

    The function is run once for each signature of its arguments (shapes, element types, numbers, flags), with
    placeholders: Python code in it, printing included, happens then and not at later calls. What it reads and
    writes (parameters, gradients, optimiser state, buffers, random generators) is as an eager call would leave it,
    to rounding. Hyperparameters of optimisers are read anew at each call.

    Args:
        model: a function of Tensors, and of nested lists, tuples and dicts of them; or a module, which keeps its
            parameters, state and methods.
        fullgraph: True: what cannot be compiled raises.
        dynamic: None or False: other shapes are other programs.
        disable: return `model` as it is.
        denormals: "flush" to count numbers below the smallest normal one as zero, as fast as others; "keep".

    Raises:
        UnsupportedError: for PyTorch's options that mean nothing here.
        TraceError: at the first call, for what cannot be compiled, with the line.
    """
    refused = {
        "fullgraph": fullgraph is not True, "dynamic": dynamic is True, "backend": backend is not None,
        "mode": mode not in (None, "default"), "options": bool(options),
    }  # fmt: skip
    for name, given in refused.items():
        if given:
            raise UnsupportedError(f"compile: {name}= is not supported", mend="Leave it out.")
    if denormals not in ("flush", "keep"):
        raise ArgumentError(f"denormals is 'flush' or 'keep', not {denormals!r}")
    if model is None:
        return functools.partial(compile, disable=disable, denormals=denormals)
    if disable:
        return model
    if not callable(model):
        raise ArgumentTypeError(f"compile takes a function or a module, not {type(model).__name__}")
    if hasattr(model, "forward") and hasattr(model, "state_dict"):
        return compiled_module(model, denormals)
    return Compiled(model, flushes=denormals == "flush")


def compiled_module(module: Any, denormals: str) -> Any:
    """A module that shares everything with another one, but runs compiled when it is called."""
    kind = type(module)
    run = Compiled(lambda *args, **kwargs: kind.__call__(module, *args, **kwargs), flushes=denormals == "flush")
    run.__name__ = kind.__name__
    namespace = {"__call__": lambda self, *args, **kwargs: run(*args, **kwargs), "lower": run.lower}
    shared: Any = object.__new__(type(kind.__name__, (kind,), namespace))
    shared.__dict__ = module.__dict__
    return shared


class Compiled:
    """A function with its programs. Safe to call from several threads: one program runs once at a time."""

    def __init__(self, function: Callable[..., Any], *, flushes: bool = True) -> None:
        functools.update_wrapper(self, function)
        self.function, self.flushes = function, flushes
        self.__name__: str = getattr(function, "__name__", "program")
        self.programs: dict[Any, list[Program]] = {}
        self.latest: tuple[Callable[..., Any], Any] | None = None
        self.lock = threading.Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.latest is not None and not kwargs:
            quick, mode = self.latest
            if state.mode is mode:
                result = quick(args)
                if result is not MISS:
                    return result
        program, tensors = self._found(args, kwargs)
        if not program.is_quick:
            return program(tensors)
        result = program(tensors)
        program.settle()
        self.latest = (program.quick, state.mode)
        return result

    def __repr__(self) -> str:
        count = sum(map(len, self.programs.values()))
        return f"<compiled {self.__name__}, {count} program{'s' * (count != 1)}>"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def _found(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Program, list[Tensor]]:
        """The program of a call, compiled if it has to be, and the Tensors among its arguments."""
        tensors: list[Tensor] = []
        others: list[Any] = []
        key = (signature((args, kwargs), tensors, others), state.mode)
        program = next((p for p in self.programs.get(key, ()) if p.fits()), None)
        return program or self._added(key, args, kwargs, others), tensors

    def _added(self, key: Any, args: Any, kwargs: Any, others: list[Any]) -> Program:
        with self.lock:
            if self.programs:
                log.info("%s is compiled again: %s", self.__name__, key[0])
            program = self._traced(args, kwargs, others, functools.partial(executable, flushes=self.flushes))
            self.programs.setdefault(key, []).insert(0, program)
            while sum(map(len, self.programs.values())) > MOST_PROGRAMS:
                oldest = next(iter(self.programs))
                self.programs[oldest].pop()
                if not self.programs[oldest]:
                    del self.programs[oldest]
        return program

    def _traced(self, args: Any, kwargs: Any, others: list[Any], build: Callable[[Part], Executable]) -> Program:
        around = Surroundings([self.function, *others])
        with around.without_new_state():
            return Program(recorded(self.function, args, kwargs, around), build, around)

    def epochs(
        self, data: Sequence[Tensor], batch_size: int, *, shuffle: bool = True, epochs: int = 1, drop_last: bool = False
    ) -> Tensor:
        """The results of all steps over data in memory: as many calls of the function, but in native code.

        Each step is the function on `batch_size` rows of every tensor in `data`. With `shuffle` the rows of each
        epoch come in the order of `randperm`, drawn from the default generator. Ctrl-C stops between two steps.

        Args:
            data: tensors with one size of the first axis: the function's arguments, for all samples.
            batch_size: rows of a step; what is left over is a smaller last step, unless `drop_last`.
            epochs: how often to go through the data.

        Returns:
            The function's results (one Tensor each, such as the loss) along a new first axis: (steps, ...).

        Raises:
            ShapeError: tensors of different lengths.
            ArgumentError: a batch size that is not positive, or larger than the data.
            UnsupportedError: a function that does not return one Tensor.
        """
        rows = checked_rows(data, batch_size)
        full = rows - rows % batch_size
        whole = full == rows or drop_last
        first = self.program_for(tuple([wrap(x.value[:batch_size], None) for x in data]))
        if whole and not first.trace.draws:  # the steps of all epochs are one row of steps
            at_once = max(1, ROWS_AT_ONCE // rows)
            found = []
            for done in range(0, epochs, at_once):
                orders = [order_of(rows, shuffle)[:full] for _ in range(min(at_once, epochs - done))]
                found.append(run_steps(self, data, np.concatenate(orders), batch_size))
        else:
            found = []
            for _ in range(epochs):
                order = order_of(rows, shuffle)
                found.append(run_steps(self, data, order[:full], batch_size))
                if not whole:
                    found.append(run_steps(self, data, order[full:], rows - full))
        return wrap(np.concatenate(found) if found else np.empty((0,), np.float32), None)

    def program_for(self, args: tuple[Any, ...]) -> Program:
        """The program of a signature, compiled if it has to be; nothing is run."""
        return self._found(args, {})[0]

    def lower(self, *args: Any, **kwargs: Any) -> Any:
        """Each form of the program of a signature, to be read: `lowered.Lowered`; the function is traced, not run."""
        from chainrule.compiler.lowered import lowered

        return lowered(recorded(self.function, args, kwargs).forward)

    def cost(self, *args: Any, **kwargs: Any) -> Any:
        """FLOPs, bytes and roofline time of a call with this signature: `lowered.Cost`; the function is not run."""
        from chainrule.compiler.lowered import cost

        return cost(recorded(self.function, args, kwargs).forward)

    def profile(self, *args: Any, **kwargs: Any) -> Any:
        """How long each kernel of a call takes: `profiled.Profile`; printing it shows the longest first.

        The program runs on copies for about 0.3 s: parameters, state and random generators stay as they are. Of a
        function whose results have gradients still to come it is the way forward.

        Raises:
            UnsupportedError: CHAINRULE_JIT=0, where there are no kernels.
        """
        from chainrule.compiler.profiled import Timed

        if not is_native():
            raise UnsupportedError("profile times kernels, and with CHAINRULE_JIT=0 there are none")
        tensors: list[Tensor] = []
        others: list[Any] = []
        signature((args, kwargs), tensors, others)
        timed: list[Timed] = []

        def build(part: Part) -> Timed:
            timed.append(Timed(part, flushes=self.flushes))
            return timed[-1]

        program = self._traced(args, kwargs, others, build)
        return timed[0].profile([copy_of(x) for x in program.inputs(tensors)])


# ---- epochs ---------------------------------------------------------------------------------------------------

ROWS_AT_ONCE = 1 << 16
"""In how long a row of epochs the order is drawn ahead."""

CHUNK = 0.02
"""Seconds of native steps between two looks at Ctrl-C."""


def checked_rows(data: Sequence[Tensor], batch_size: int) -> int:
    """The number of samples."""
    if not data or len({len(x) for x in data}) != 1:
        raise ShapeError("epochs: the tensors differ in the size of their first axis", got=[f"{x.shape}" for x in data])
    if not 0 < batch_size <= len(data[0]):
        raise ArgumentError(f"epochs: batch_size is from 1 to the {len(data[0])} samples, not {batch_size}")
    return len(data[0])


def order_of(rows: int, shuffle: bool) -> Array:
    """The rows of one epoch."""
    order: Array = randperm(rows).value if shuffle else np.arange(rows, dtype=np.int64)
    return order


def run_steps(step: Compiled, data: Sequence[Tensor], order: Array, batch_size: int) -> Array:
    """The results of a step for each batch of rows in this order."""
    arrays = [np.ascontiguousarray(x.value) for x in data]
    program = step.program_for(tuple([wrap(x[:batch_size], None) for x in arrays]))
    if [r.kind for r in program.results] != ["output"] or program.rebuild([MISS]) is not MISS:
        raise UnsupportedError("epochs: the function returns one Tensor, such as the loss")
    native = program.runs_many
    results, start, count = [], 0, batch_size
    while start < len(order):
        began = time.perf_counter()
        if native and program.fits():
            stop = min(len(order), start + count)
            results.append(program.many(arrays, np.ascontiguousarray(order[start:stop])))
        else:
            stop = start + batch_size
            results.append(step(*[wrap(x[order[start:stop]], None) for x in arrays]).detach().value[None])
        seconds = max(time.perf_counter() - began, 1e-9)
        count = max(batch_size, int(CHUNK / seconds * (stop - start)) // batch_size * batch_size)
        start = stop
    shape, dtype = program.made[0]
    return np.concatenate(results) if results else np.empty((0, *shape), dtype)


# ---- targets -------------------------------------------------------------------------------------------------


def is_native() -> bool:
    """True unless the environment says CHAINRULE_JIT=0."""
    return os.environ.get("CHAINRULE_JIT", "1") != "0"


def executable(part: Part, *, flushes: bool) -> Executable:
    """A part of a program on the target that this process uses: LLVM, or NumPy for CHAINRULE_JIT=0."""
    if not is_native():
        return interpret.executable(part.graph)
    from chainrule.compiler.targets.llvm.target import build

    return build(part, flushes=flushes)
