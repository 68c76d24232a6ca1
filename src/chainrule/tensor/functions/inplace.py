"""In-place operations: add_, zero_, copy_ ...: the operator computes, `write` puts the result into memory.

A write is noted with its time and line; the sweep refuses to use a saved value that was written later.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import ArgumentTypeError, DTypeError, InPlaceError, ShapeError
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.functions import elementwise, movement, random, selection
from chainrule.tensor.functions.random import Generator
from chainrule.tensor.graph import Array, Edge, Kept, Leaf, Node, buffer_of, stamp, state, tick, users_site
from chainrule.tensor.printing import describe
from chainrule.tensor.recording import changed
from chainrule.tensor.recording import recorder as recording_now
from chainrule.tensor.tensor import Tensor, replace_value, wrap
from chainrule.tensor.views import View, rebase, refuse_unrecorded


def write(target: Tensor, result: Tensor, by: str) -> Tensor:
    """Put a result's elements into a tensor's memory, and give the tensor the result's history.

    Raises:
        InPlaceError: on a leaf that requires a gradient, or a view of one, while gradients are recorded.
        ShapeError, DTypeError: for a result that does not fit into the memory.
    """
    recording = state.mode.grad
    if recording and (target.edge is not None or result.edge is not None):
        refuse_leaves(target, by)
    if result.value.shape != target.value.shape:
        raise ShapeError(
            f"{by}: output with shape {tuple(target.value.shape)} doesn't match the broadcast shape "
            f"{tuple(result.value.shape)}",
            got=[describe("x", target)],
        )
    if not np.can_cast(result.value.dtype, target.value.dtype, "same_kind"):
        raise DTypeError(f"{by}: result type {result.dtype} can't be cast to the desired output type {target.dtype}")
    if not target.value.flags.writeable:
        raise InPlaceError(
            f"{by}: unsupported operation: more than one element of the written-to tensor refers to a single "
            "memory location, or the memory is read-only.",
            mend="Please clone() the tensor before performing the operation.",
        )
    edge = _history(target, result) if recording else None
    if (recorder := recording_now()) is not None:
        recorder.write(target, result)
    else:
        np.copyto(target.value, result.value, casting="same_kind")
        stamp(target.value, by, users_site(sys._getframe(1)))
    if isinstance(target.edge, Leaf):
        target.edge.version += 1
    if edge is not None:
        rebase(target, edge)
    return target


def _history(target: Tensor, result: Tensor) -> Edge | None:
    """The edge of a tensor after the write: the result's, or one that stops the gradient of what was there."""
    if result.edge is None:
        if target.edge is None:
            return None
        everything = (slice(None),) * target.value.ndim
        return GATES["assign"](target, GATES["cast"](result, dtype=target.value.dtype), key=everything).edge
    if result.value.dtype != target.value.dtype:
        return GATES["cast"](result, dtype=target.value.dtype).edge
    return GATES["clone"](result).edge if isinstance(result.edge, Leaf) else result.edge


def keep_old_values(edge: Edge | None, target: Tensor, since: int) -> None:
    """Give the nodes made since then copies of what they saved of a tensor that is about to be overwritten."""
    owner = buffer_of(target.value)
    edges = [edge]
    while edges:
        node = edges.pop()
        if isinstance(node, Node) and node.order > since:
            if node.saved is not None:
                node.saved = tuple([_safe(value, owner) for value in node.saved])
            if node.kept is not None:
                inputs, result = node.kept
                node.kept = Kept(tuple([_safe(value, owner) for value in inputs]), result)
            edges += node.edges


def _safe(value: Any, owner: Array) -> Any:
    """A copy of an array that looks at this memory; other values as they are."""
    if isinstance(value, np.ndarray):
        return value.copy() if buffer_of(value) is owner else value
    return [_safe(v, owner) for v in value] if type(value) is list else value


def refuse_leaves(target: Tensor, by: str) -> None:
    """Raise InPlaceError for a leaf that requires a gradient, and for a view of one."""
    if isinstance(target.edge, Leaf):
        raise InPlaceError(
            f"{by}: a leaf Variable that requires grad is being used in an in-place operation.",
            got=[describe("x", target)],
            mend="Write under chainrule.no_grad(), or use the operation that makes a new tensor.",
        )
    while isinstance(target, View):
        refuse_unrecorded(target, f"is being modified inplace by {by}")
        target = target.parent
        if isinstance(target.edge, Leaf):
            raise InPlaceError(
                f"{by}: a view of a leaf Variable that requires grad is being used in an in-place operation.",
                got=[describe("leaf", target)],
                mend="Write under chainrule.no_grad(), or to a clone().",
            )


def in_place(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`name_`: the method that computes `function(x, ...)` and writes it into x."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        since = tick()
        result = function(self, *args, **kwargs)
        keep_old_values(result.edge, self, since)
        return write(self, result, f"{name}_")

    method.__wrapped__ = function  # type: ignore[attr-defined]  # whose signature it has
    method.__name__ = method.__qualname__ = f"{name}_"
    method.__doc__ = f"`{name}` in place: writes the result into this tensor's memory and returns the tensor."
    return method


UNARY = (
    "abs", "acos", "asin", "atan", "ceil", "cos", "cosh", "erf", "exp", "expm1", "floor", "log", "log10", "log1p",
    "log2", "logical_not", "neg", "reciprocal", "relu", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt", "square",
    "tan", "tanh", "trunc",
)  # fmt: skip
WITH_OPERANDS = (
    "atan2", "bitwise_and", "bitwise_or", "bitwise_xor", "eq", "floor_divide", "ge", "gt", "le", "lerp", "logical_and",
    "logical_or", "logical_xor", "lt", "mul", "ne", "pow", "remainder",
)  # fmt: skip


def _late(name: str) -> Callable[..., Tensor]:
    """The gate of that name, looked up when it is called."""
    return lambda *args, **kwargs: GATES[name](*args, **kwargs)


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """The elements of src, which broadcasts and may have another type."""
    source = src if isinstance(src, Tensor) else wrap(np.asarray(src), None)
    if source.value.shape != self.value.shape:
        source = movement.broadcast_to(source, self.value.shape)
    if source.value.dtype != self.value.dtype:
        source = GATES["cast"](source, dtype=self.value.dtype)
    return write(self, source, "copy_")


def _constant(self: Tensor, value: Any, by: str) -> Tensor:
    filled = np.full(self.value.shape, value, self.value.dtype)
    return write(self, wrap(filled, None), by)


def fill_(self: Tensor, value: Any) -> Tensor:
    """One number in every place."""
    if isinstance(value, Tensor):
        if value.value.ndim:
            raise ShapeError("fill_ only supports a 0-dimensional value tensor", got=[describe("value", value)])
        return copy_(self, value)
    return _constant(self, value, "fill_")


def zero_(self: Tensor) -> Tensor:
    """0 in every place."""
    return _constant(self, 0, "zero_")


def _drawn(self: Tensor, values: Tensor, by: str) -> Tensor:
    return write(self, GATES["cast"](values, dtype=self.value.dtype), by)


def _uniform(self: Tensor, generator: Generator | None) -> Tensor:
    return random.uniform_numbers(self.value.shape, _real(self), generator)


def _real(self: Tensor) -> Any:
    return self.value.dtype if self.value.dtype.kind == "f" else np.dtype(np.float64)


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Normal numbers of a mean and a standard deviation."""
    drawn = random.normal_numbers(self.value.shape, _real(self), generator)
    return _drawn(self, GATES["add"](GATES["mul"](drawn, std), mean), "normal_")


def uniform_(
    self: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None, **ends: float
) -> Tensor:
    """Uniform numbers in [a, b); PyTorch's keywords `from` and `to` are taken too."""
    low, high = ends.pop("from", a), ends.pop("to", b)
    if ends:
        raise ArgumentTypeError(f"uniform_ got unexpected keywords {sorted(ends)}")
    return _drawn(self, GATES["add"](GATES["mul"](_uniform(self, generator), high - low), low), "uniform_")


def random_(self: Tensor, low: int = 0, high: int | None = None, *, generator: Generator | None = None) -> Tensor:
    """Integers in [low, high), or in [0, low) for one argument."""
    bounds = (0, low) if high is None and low else (low, high if high is not None else 2**24)
    return _drawn(self, random.randint(*bounds, self.value.shape, generator=generator), "random_")


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Exponential waiting times of rate lambd."""
    waiting = GATES["neg"](GATES["log1p"](GATES["neg"](_uniform(self, generator))))
    return _drawn(self, GATES["div"](waiting, lambd), "exponential_")


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """1 with probability p, else 0."""
    drawn = random.uniform_numbers(self.value.shape, np.dtype(np.float64), generator)
    return _drawn(self, GATES["lt"](drawn, p), "bernoulli_")


def _reshaped(self: Tensor, move: Callable[[Tensor], Tensor]) -> Tensor:
    """This tensor with another shape over the same elements: unsqueeze_, squeeze_, t_ ..."""
    if isinstance(self.edge, Leaf) and state.mode.grad:
        raise InPlaceError("a leaf Variable that requires grad cannot change its shape in place.")
    if isinstance(self, View):  # a view of what it was before
        before = object.__new__(View)
        for slot in ("value", *View.__slots__):
            setattr(before, slot, getattr(self, slot))
        result = move(before)
        for slot in View.__slots__ if isinstance(result, View) else ():
            setattr(self, slot, getattr(result, slot))
        changed()
        self.value = result.value
        return self
    result = move(self)
    if isinstance(self.edge, Leaf):
        replace_value(self, result.value)
    else:
        changed()
        self.value, self.edge = result.value, result.edge
        View.rewrites = tick()
    return self


def unsqueeze_(self: Tensor, dim: int) -> Tensor:
    """This tensor with a new axis of size 1."""
    return _reshaped(self, lambda x: movement.unsqueeze(x, dim))


def squeeze_(self: Tensor, dim: Any = None) -> Tensor:
    """This tensor without axes of size 1."""
    return _reshaped(self, lambda x: movement.squeeze(x, dim))


def t_(self: Tensor) -> Tensor:
    """This matrix transposed."""
    return _reshaped(self, movement.t)


def transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """This tensor with two axes exchanged."""
    return _reshaped(self, lambda x: movement.transpose(x, dim0, dim1))


def resize_(self: Tensor, *sizes: Any) -> Tensor:
    """This tensor in another shape: elements are kept in order, new ones are uninitialised (zero here)."""
    if self.edge is not None:
        raise InPlaceError("cannot resize variables that require grad", got=[describe("x", self)])
    shape = movement.sizes_of(sizes)
    resized = np.zeros(shape, self.value.dtype)
    n = min(self.value.size, resized.size)
    resized.reshape(-1)[:n] = self.value.reshape(-1)[:n]
    changed()
    self.value = resized
    return self


METHODS: dict[str, Callable[..., Any]] = {
    **{f"{name}_": in_place(name, _late(name)) for name in (*UNARY, *WITH_OPERANDS)},
    **{
        f"{function.__name__}_": in_place(function.__name__, function)
        for function in (
            elementwise.add, elementwise.sub, elementwise.div, elementwise.clamp, elementwise.round,
            elementwise.addcmul, elementwise.addcdiv, elementwise.nan_to_num,
            selection.masked_fill, selection.masked_scatter, selection.scatter, selection.scatter_add,
            selection.index_add, selection.index_copy, selection.index_fill, selection.index_put,
            movement.tril, movement.triu,
        )
    },
    **{
        function.__name__: function
        for function in (
            copy_, fill_, zero_, normal_, uniform_, random_, exponential_, bernoulli_, unsqueeze_, squeeze_, t_,
            transpose_, resize_,
        )
    },
}  # fmt: skip
METHODS |= {"clip_": METHODS["clamp_"], "multiply_": METHODS["mul_"], "subtract_": METHODS["sub_"]}
"""The in-place methods by name."""


def _operator(name: str) -> Callable[[Tensor, Any], Tensor]:
    method = METHODS[name]
    return lambda self, other: method(self, other)


OPERATORS = {
    f"__i{operator}__": _operator(f"{name}_")
    for operator, name in {
        "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "pow": "pow", "and": "bitwise_and",
        "or": "bitwise_or", "xor": "bitwise_xor", "mod": "remainder", "floordiv": "floor_divide",
    }.items()
}  # fmt: skip
"""`+=` and its relatives."""
