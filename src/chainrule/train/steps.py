"""The halves of a training step, and an evaluation, as functions of a batch: compiled, or as they are.

    backward = compile(backward_of(model, loss, optimizer))     compile is a `Compiling`, or `as_it_is`
    update = update_of(optimizer, compile)

A step is two programs and not one, so that between them a loss can be refused and callbacks can look at the
gradients, before anything has moved.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from chainrule.compiler.compile import compile as compiled
from chainrule.errors import ArgumentTypeError, ChainruleError, CompileError, TraceError, UnsupportedError
from chainrule.tensor.tensor import Tensor
from chainrule.train.dry_run import dry_run

Function: TypeAlias = Callable[..., Any]
Compile: TypeAlias = Callable[[Function], Function]
"""Makes a function that does the same: `as_it_is`, or a `Compiling`."""

PACKAGE = Path(__file__).parents[1]
MOST_PROGRAMS = 16
"""Of one function: beyond it compiling would cost more than it saves."""

REFUSALS = (TraceError, UnsupportedError, CompileError, ArgumentTypeError)
"""What a function that runs eagerly may raise when it is compiled; the last for batches of NumPy arrays."""


# ---- what there is to run -------------------------------------------------------------------------------------


def backward_of(model: Any, loss: Function, optimizer: Any) -> Function:
    """The first half of a step: of inputs and targets, the loss; leaves each parameter's gradient in .grad."""

    def backward(inputs: Any, targets: Any) -> Tensor:
        optimizer.zero_grad()
        value: Tensor = loss(model(inputs), targets)
        value.backward()
        return value

    return backward


def update_of(optimizer: Any, compile: Compile) -> Callable[[], Any]:
    """The second half: the optimizer's step from the gradients in .grad.

    An optimizer that is not one of this library's, or has hooks, may keep numbers in Python that change from step
    to step, where a program would keep the first: it runs as it is.
    """
    own = type(optimizer).__module__.startswith("chainrule.optim.") and "step" not in vars(optimizer)
    if compile is as_it_is or not own or optimizer._hooks["step_pre"] or optimizer._hooks["step_post"]:
        return optimizer.step  # type: ignore[no-any-return]  # an Optimizer's

    def update(gradients: list[Tensor | None]) -> None:
        # As arguments: a program holds on to the Tensors that it met outside, and .grad is another one at each step.
        parameters = parameters_of(optimizer)
        before = [p.grad for p in parameters]
        put(parameters, gradients)
        optimizer.step()
        put(parameters, before)

    run = compile(update)
    return lambda: run([p.grad for p in parameters_of(optimizer)])


def parameters_of(optimizer: Any) -> list[Tensor]:
    """Those that an optimizer updates, group after group."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def put(parameters: list[Tensor], gradients: list[Tensor | None]) -> None:
    """Let these be the parameters' gradients."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient


def judgement_of(model: Any, loss: Function) -> Function:
    """Of inputs and targets, the model's outputs and their loss."""

    def judgement(inputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
        outputs: Tensor = model(inputs)
        return outputs, loss(outputs, targets)

    return judgement


# ---- how it is run --------------------------------------------------------------------------------------------


def as_it_is(function: Function) -> Function:
    """The function: nothing is compiled."""
    return function


class Compiling:
    """Compiles functions of a model, until one cannot be: `say` is told why and where, once, and it runs as it is.

    Those that have not been called by then run as they are, too.
    """

    def __init__(self, model: Any, say: Callable[[str], None]) -> None:
        self.model, self.say, self.has_refused = model, say, False

    def __call__(self, function: Function) -> Function:
        return CompiledOrEager(function, self)

    def refuse(self, error: ChainruleError) -> None:
        """Notes that a function runs as it is."""
        if not self.has_refused:
            self.has_refused = True
            place = place_of(error)
            self.say(f"eager, not compiled: {error.what}{f', in {place}' if place else ''}")


class CompiledOrEager:
    """A function that runs compiled until it turns out that it cannot be, and then as it is.

    A refusal comes while the function is traced, before anything has run: all is as it was, and the eager call
    that follows is the first.
    """

    def __init__(self, function: Function, compiling: Compiling) -> None:
        self.function, self.compiling = function, compiling
        self.program: Any = compiled(function)

    def __call__(self, *args: Any) -> Any:
        if self.program is not None:
            try:
                self._check(args)
                return self.program(*args)
            except REFUSALS as error:
                self.program = None
                self.compiling.refuse(error)
        return self.function(*args)

    def _check(self, args: tuple[Any, ...]) -> None:
        """Raises for a function that can be traced but whose programs would be wrong, or too many."""
        programs = self.program.programs
        if not programs:
            if self.compiling.has_refused:
                raise TraceError("another function of the model cannot be compiled")
            with dry_run(self.compiling.model):
                self.program.program_for(args)
        elif sum(map(len, programs.values())) > MOST_PROGRAMS:
            raise TraceError(f"its batches are of more than {MOST_PROGRAMS} shapes")


def place_of(error: ChainruleError) -> str | None:
    """The user's line: what the error says, or else the last one outside this package."""
    if error.where is not None:
        return error.where
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if PACKAGE not in Path(frame.filename).parents]
    return f"{mine[-1].filename}:{mine[-1].lineno}" if mine else None
