"""The operators as methods of Tensor. Gates are made at their first use."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.tensor import backward as sweep
from chainrule.tensor import hooks
from chainrule.tensor.arrays import array_of
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.functions import (
    contraction,
    conversion,
    creation,
    elementwise,
    inplace,
    movement,
    random,
    reduction,
    selection,
)
from chainrule.tensor.tensor import Tensor, wrap


class _LateGate:
    """A method that becomes the operator's gate when it is first looked up."""

    def __init__(self, name: str, gate: str) -> None:
        self.name, self.gate = name, gate

    def __get__(self, instance: Any, owner: type) -> Any:
        gate = GATES[self.gate]
        setattr(Tensor, self.name, gate)
        return gate.__get__(instance, owner) if instance is not None else gate  # type: ignore[attr-defined]


FUNCTIONS: dict[str, Any] = {
    function.__name__: function
    for function in (
        reduction.sum, reduction.mean, reduction.prod, reduction.var, reduction.std, reduction.amax, reduction.amin,
        reduction.aminmax, reduction.max, reduction.min, reduction.argmax, reduction.argmin, reduction.any,
        reduction.all, reduction.logsumexp, reduction.norm, reduction.dist, reduction.cumsum, reduction.cumprod,
        reduction.median, reduction.kthvalue, reduction.softmax, reduction.log_softmax, reduction.count_nonzero,
        reduction.equal, reduction.allclose, reduction.isclose,
        contraction.matmul, contraction.mm, contraction.bmm, contraction.mv, contraction.dot, contraction.outer,
        contraction.addmm, contraction.addmv,
        movement.reshape, movement.view, movement.view_as, movement.reshape_as, movement.flatten, movement.ravel,
        movement.unflatten, movement.permute, movement.transpose, movement.t, movement.movedim, movement.squeeze,
        movement.unsqueeze, movement.expand, movement.expand_as, movement.broadcast_to, movement.repeat, movement.tile,
        movement.repeat_interleave, movement.roll, movement.flip, movement.fliplr, movement.flipud, movement.narrow,
        movement.select, movement.split, movement.chunk, movement.tensor_split, movement.unbind, movement.tril,
        movement.triu, movement.diagonal, movement.diag, movement.trace, movement.clone, movement.contiguous,
        selection.gather, selection.take_along_dim, selection.scatter, selection.scatter_add, selection.index_select,
        selection.index_add, selection.index_copy, selection.index_fill, selection.index_put, selection.take,
        selection.masked_fill, selection.masked_select, selection.masked_scatter, selection.argsort, selection.sort,
        selection.topk, selection.nonzero, selection.unique, selection.bincount, selection.histc,
        elementwise.add, elementwise.sub, elementwise.div, elementwise.clamp, elementwise.round, elementwise.frac,
        elementwise.nan_to_num, elementwise.addcmul, elementwise.addcdiv, elementwise.logaddexp,
        creation.new_zeros, creation.new_ones, creation.new_empty, creation.new_full, creation.new_tensor, creation.new,
        creation.numel, creation.is_floating_point,
        random.bernoulli, random.multinomial,
        conversion.to, conversion.type, conversion.type_as, conversion.cpu, conversion.cuda, conversion.pin_memory,
        conversion.size, conversion.dim, conversion.nelement, conversion.element_size, conversion.stride,
        conversion.storage_offset, conversion.data_ptr, conversion.is_contiguous, conversion.get_device,
        hooks.register_hook, hooks.register_post_accumulate_grad_hook,
    )
} | {
    **conversion.CONVERSIONS, **inplace.METHODS, "clip": elementwise.clamp, "swapaxes": movement.transpose,
    "moveaxis": movement.movedim, "subtract": elementwise.sub, "divide": elementwise.div, "ndimension": conversion.dim,
    "inner": contraction.dot, "true_divide": elementwise.div,
}  # fmt: skip
"""Public functions that are methods under the same name."""

OPERATORS: dict[str, str] = {
    "__add__": "add", "__sub__": "sub", "__mul__": "mul", "__truediv__": "div", "__pow__": "pow", "__neg__": "neg",
    "__abs__": "abs", "__mod__": "remainder", "__floordiv__": "floor_divide", "__eq__": "eq", "__ne__": "ne",
    "__lt__": "lt", "__le__": "le", "__gt__": "gt", "__ge__": "ge", "__and__": "bitwise_and", "__or__": "bitwise_or",
    "__xor__": "bitwise_xor", "__invert__": "bitwise_not",
}  # fmt: skip
REFLECTED = ("add", "sub", "mul", "truediv", "pow", "mod", "floordiv", "and", "or", "xor")


def comparison(gate: str) -> Any:
    """== and !=: False and True, as for any two objects, where the other operand is no number."""

    def operator(self: Tensor, other: Any) -> Any:
        if isinstance(other, np.generic):
            other = other.item()
        if isinstance(other, np.ndarray):
            other = wrap(array_of(other), None)
        elif not isinstance(other, Tensor | int | float):
            return NotImplemented
        return GATES[gate](self, other)

    return operator


def reflected(gate: str) -> Any:
    """A binary operator with its operands exchanged: 1 - x, array - x."""

    def operator(self: Tensor, other: Any) -> Any:
        if isinstance(other, np.generic):
            other = other.item()
        if isinstance(other, np.ndarray):
            other = wrap(array_of(other), None)
        elif other is None or isinstance(other, str | list | tuple | dict):
            return NotImplemented
        return GATES[gate](other, self)

    return operator


def where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """self where the condition holds, else other."""
    return elementwise.where(condition, self, other)  # type: ignore[no-any-return]


ATTRIBUTES: dict[str, Any] = {
    "backward": sweep.backward_of,
    "where": where,
    "__matmul__": contraction.matmul,
    "__rmatmul__": lambda self, other: contraction.matmul(creation.as_tensor(other), self),
    "__getitem__": selection.getitem,
    "__setitem__": selection.setitem,
    "__hash__": object.__hash__,
    "T": property(movement.reversed_axes),
    "mT": property(lambda self: GATES["mT"](self)),
    "is_cuda": property(lambda self: False),
    "names": property(lambda self: (None,) * self.value.ndim),
    "itemsize": property(conversion.element_size),
    "nbytes": property(lambda self: int(self.value.nbytes)),
    "is_sparse": property(lambda self: False),
}
"""What is a property, or has a name of its own in its module."""


def attach() -> None:
    """Give Tensor its methods, operators and the properties T, mT."""
    for name in (*elementwise.PLAIN, *elementwise.ALIASES):
        setattr(Tensor, name, _LateGate(name, elementwise.ALIASES.get(name, name)))
    for name, function in FUNCTIONS.items():
        setattr(Tensor, name, function)
    for name, gate in OPERATORS.items():
        setattr(Tensor, name, comparison(gate) if gate in ("eq", "ne") else _LateGate(name, gate))
    for name in REFLECTED:
        setattr(Tensor, f"__r{name}__", reflected(OPERATORS[f"__{name}__"]))
    for name, method in inplace.OPERATORS.items():
        setattr(Tensor, name, method)
    for name, attribute in ATTRIBUTES.items():
        setattr(Tensor, name, attribute)


attach()
