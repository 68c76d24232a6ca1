"""Hooks of modules: functions that see, and may replace, what enters and leaves a call and its gradients."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from chainrule.errors import ArgumentTypeError, GraphError
from chainrule.tensor.function import Function
from chainrule.tensor.hooks import RemovableHandle
from chainrule.tensor.tensor import Tensor


class Hook(NamedTuple):
    """A registered function, and how it wants to be called."""

    call: Callable[..., Any]
    with_kwargs: bool = False
    always: bool = False


Table = OrderedDict[int, Hook]


class Hooks:
    """The hooks of one module, each table in the order of calling."""

    def __init__(self) -> None:
        self.before: Table = OrderedDict()
        self.after: Table = OrderedDict()
        self.backward_before: Table = OrderedDict()
        self.backward: Table = OrderedDict()


def enter(table: Table, hook: Hook, prepend: bool) -> RemovableHandle:
    """Put a hook at the end of a table, or at its start."""
    handle = RemovableHandle(table, hook)
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle


def call_with_hooks(module: Any, hooks: Hooks, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`module.forward(*args, **kwargs)` between its hooks."""
    output = None
    waiting = OrderedDict((number, hook) for number, hook in hooks.after.items() if hook.always)
    try:
        args, kwargs = _before(module, hooks, args, kwargs)
        watch = _BackwardWatch(module, hooks) if hooks.backward or hooks.backward_before else None
        if watch is not None:
            args = watch.inputs(args)
        output = module.forward(*args, **kwargs)
        for number, hook in list(hooks.after.items()):
            waiting.pop(number, None)
            replaced = _after(module, hook, args, kwargs, output)
            output = output if replaced is None else replaced
        return output if watch is None else watch.outputs(output)
    except Exception:
        for hook in waiting.values():
            try:
                replaced = _after(module, hook, args, kwargs, output)
                output = output if replaced is None else replaced
            except Exception as error:
                warnings.warn(
                    "module forward hook with ``always_call=True`` raised an exception that was silenced as "
                    f"another error was raised in forward: {error}",
                    stacklevel=3,
                )
        raise


def _before(
    module: Any, hooks: Hooks, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    for hook in list(hooks.before.values()):
        if not hook.with_kwargs:
            got = hook.call(module, args)
            if got is not None:
                args = got if isinstance(got, tuple) else (got,)
            continue
        got = hook.call(module, args, kwargs)
        if got is None:
            continue
        if not isinstance(got, tuple) or len(got) != 2:
            raise GraphError(f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {got}")
        args, kwargs = got
    return args, kwargs


def _after(module: Any, hook: Hook, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    return hook.call(module, args, kwargs, output) if hook.with_kwargs else hook.call(module, args, output)


class _Gateway(Function):
    """The identity on several tensors, which hands all their cotangents to `see` at once."""

    @staticmethod
    def forward(ctx: Any, see: Any, *tensors: Tensor) -> Any:
        ctx.see = see
        ctx.set_materialize_grads(False)
        return tensors

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        return (None, *ctx.see(cotangents))


class _BackwardWatch:
    """One call of a module with backward hooks: gateways around it, and what went through the outer one.

    The hooks run when the gradients of all inputs are known; where no input requires one, when those of the
    outputs are, with None for each input.
    """

    def __init__(self, module: Any, hooks: Hooks) -> None:
        self.module, self.hooks = module, hooks
        self.places: list[int] = []
        self.n_inputs = 0
        self.grad_outputs: tuple[Any, ...] | None = None

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, those that require a gradient behind a gateway."""
        self.n_inputs = len(args)
        self.places = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
        return _through(args, self.places, self._see_inputs)

    def outputs(self, output: Any) -> Any:
        """The results behind a gateway."""
        results = output if isinstance(output, tuple) else (output,)
        if not all(isinstance(y, Tensor) for y in results):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but "
                f"received {type(output)}",
                stacklevel=4,
            )
            return output
        places = [i for i, y in enumerate(results) if y.requires_grad]
        watched = _through(results, places, lambda gs: self._see_outputs(gs, places, len(results)))
        return watched if isinstance(output, tuple) else watched[0]

    def _see_outputs(self, cotangents: tuple[Any, ...], places: list[int], n: int) -> tuple[Any, ...]:
        grads: tuple[Any, ...] = _placed(cotangents, places, n)
        for hook in list(self.hooks.backward_before.values()):
            grads = _replaced(hook.call(self.module, grads), grads, "full backward pre-hook")
        self.grad_outputs = grads
        if not self.places:
            self._call((None,) * self.n_inputs)
        return tuple([grads[i] for i in places])

    def _see_inputs(self, cotangents: tuple[Any, ...]) -> tuple[Any, ...]:
        if self.grad_outputs is None:
            raise GraphError(
                "Module backward hook for grad_input is called before the grad_output one.",
                mend="The gradient came past the module's output: the loss uses what forward stored elsewhere.",
            )
        grads = self._call(_placed(cotangents, self.places, self.n_inputs))
        return tuple([grads[i] for i in self.places])

    def _call(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        given = grads
        for hook in list(self.hooks.backward.values()):
            got = hook.call(self.module, grads, self.grad_outputs)
            if got is not None and not self.places:
                raise GraphError("A backward hook of a module where no input requires gradient should return None.")
            grads = _replaced(got, given, "backward hook") if got is not None else grads
        return grads


def _through(values: tuple[Any, ...], places: list[int], see: Callable[[Any], Any]) -> tuple[Any, ...]:
    if not places:
        return values
    watched = dict(zip(places, _Gateway.apply(see, *[values[i] for i in places]), strict=True))
    return tuple([watched.get(i, x) for i, x in enumerate(values)])


def _placed(parts: tuple[Any, ...], places: list[int], n: int) -> tuple[Any, ...]:
    """A tuple of `n` with the parts at their places, None elsewhere."""
    by_place = dict(zip(places, parts, strict=True))
    return tuple([by_place.get(i) for i in range(n)])


def _replaced(got: Any, grads: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    """The gradients a hook returned, or the old ones for None."""
    if got is None:
        return grads
    given = got if isinstance(got, tuple) else (got,)
    if len(given) != len(grads):
        raise GraphError(f"{what} returned {len(given)} gradients, expected {len(grads)}")
    if any(g is not None and not isinstance(g, Tensor) for g in given):
        raise ArgumentTypeError(f"a {what} returns None, a Tensor or a tuple of them, not {got!r}")
    return given
