"""Tensor: a NumPy array, and the edge that leads into the graph of how it was computed.

The operators are methods too: `methods.py` attaches them, and `methods.pyi` tells type checkers.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.dtypes import DType
from chainrule.errors import ArgumentTypeError, DTypeError, GraphError
from chainrule.ops.catalogue import CATALOGUE
from chainrule.tensor.arrays import array_of, dtype_of, numpy_dtype
from chainrule.tensor.device import Device
from chainrule.tensor.graph import Array, Edge, Leaf, Node, Watch, stamp, write_to
from chainrule.tensor.printing import describe
from chainrule.tensor.recording import RECORDERS, changed, recorder

if TYPE_CHECKING:
    from chainrule.tensor.methods import TensorMethods
else:
    TensorMethods = object


class Tensor(TensorMethods):
    """A multi-dimensional array of one element type that can be differentiated through.

    `Tensor(data)` copies nested sequences or an array into the default float type, `Tensor(2, 3)` is an
    uninitialised array of that shape, as in PyTorch; programs use `chainrule.tensor(data)`.
    """

    __slots__ = ("__dict__", "__weakref__", "edge", "value")
    __hash__ = object.__hash__

    value: Array
    edge: Edge | None

    def __init__(self, *data: Any, device: Any = None) -> None:
        if device is not None:
            Device.of(device)
        self.value = legacy_array(data, default_float())
        self.edge = None

    # ---- what it is --------------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        """The size of each axis."""
        return Size(self.value.shape)

    @property
    def dtype(self) -> DType:
        """The element type."""
        return dtype_of(self.value.dtype)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.value.ndim

    @property
    def device(self) -> Device:
        """Where the elements are: always the CPU."""
        return Device("cpu")

    # ---- the graph -----------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """True if backward() reaches this tensor."""
        return self.edge is not None

    @requires_grad.setter
    def requires_grad(self, required: bool) -> None:
        self.requires_grad_(required)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """This tensor, from now on with (or without) a gradient.

        Raises:
            DTypeError: for integers and bools.
            GraphError: when a result of differentiable operations is to lose its gradient: use detach().
        """
        if requires_grad and self.edge is None:
            if self.value.dtype.kind != "f":
                raise DTypeError(
                    f"only tensors of floating point dtype can require gradients, not {self.dtype}",
                    mend="Convert first: x.float().requires_grad_()",
                )
            changed()
            self.edge = Leaf(self.value, self)
            self.edge.grad = self.__dict__.pop("_grad", None)
        elif not requires_grad and self.edge is not None:
            if isinstance(self.edge, Node):
                raise GraphError(
                    "you can only change requires_grad flags of leaf variables",
                    mend="To use this result as a constant, take x.detach().",
                )
            if self.edge.grad is not None:
                self.__dict__["_grad"] = self.edge.grad
            changed()
            self.edge = None
        return self

    @property
    def is_leaf(self) -> bool:
        """True for tensors that no recorded operation made."""
        return not isinstance(self.edge, Node)

    @property
    def grad_fn(self) -> Node | None:
        """The node of the operation that made this tensor; None for leaves."""
        edge = self.edge
        return edge if isinstance(edge, Node) else None

    @property
    def output_nr(self) -> int:
        """Which of its node's results this is: always the first, every result has a node."""
        return 0

    @property
    def grad(self) -> Any:
        """dL/dx after backward(), of the shape of x; None before. Results keep it after retain_grad() only."""
        edge = self.edge
        if isinstance(edge, Node):
            return edge.watch.grad if edge.watch is not None else None
        if RECORDERS and edge is not None and (recording := recorder()) is not None:
            recording.read_grad(edge)
        return self.__dict__.get("_grad") if edge is None else edge.grad

    @grad.setter
    def grad(self, grad: Tensor | None) -> None:
        edge = self.edge
        if grad is not None:
            self._check_grad(grad)
        if isinstance(edge, Leaf):
            if RECORDERS and (recording := recorder()) is not None:
                recording.write_grad(edge)
            edge.grad = grad
        elif isinstance(edge, Node):
            watch(edge).grad = grad
        elif grad is not None:
            self.__dict__["_grad"] = grad
        else:
            self.__dict__.pop("_grad", None)

    def _check_grad(self, grad: Any) -> None:
        if not isinstance(grad, Tensor):
            raise ArgumentTypeError(f"assigned grad has type {type(grad).__name__}; it must be a Tensor or None")
        if grad.value.shape != self.value.shape or grad.value.dtype != self.value.dtype:
            raise GraphError(
                "assigned grad does not fit the tensor",
                got=[describe("grad", grad), describe("tensor", self)],
            )

    def retain_grad(self) -> None:
        """Let backward() keep this result's gradient in .grad.

        Raises:
            GraphError: if it does not require a gradient.
        """
        if self.edge is None:
            raise GraphError("can't retain_grad on Tensor that has requires_grad=False")
        if isinstance(self.edge, Node):
            watch(self.edge).retains = True

    @property
    def retains_grad(self) -> bool:
        """True after retain_grad() on a result."""
        return isinstance(self.edge, Node) and self.edge.watch is not None and self.edge.watch.retains

    @property
    def data(self) -> Tensor:
        """The same elements without a gradient, sharing memory."""
        return wrap(self.value, None)

    @data.setter
    def data(self, other: Tensor) -> None:
        if not isinstance(other, Tensor):
            raise ArgumentTypeError(f"x.data takes a Tensor, not {type(other).__name__}")
        replace_value(self, other.value)

    def detach(self) -> Tensor:
        """The same elements without a gradient, sharing memory."""
        return wrap(self.value, None)

    def detach_(self) -> Tensor:
        """This tensor, cut from its graph."""
        self.edge = None
        return self

    @property
    def _version(self) -> int:
        write = write_to(self.value)
        return 0 if write is None else write.count

    # ---- Python's and NumPy's protocols ----------------------------------------------------------------------

    def numpy(self, *, force: bool = False) -> Array:
        """The NumPy array itself: memory is shared, and writes to it are not seen by the graph.

        Raises:
            GraphError: if the tensor requires a gradient (unless `force`).
        """
        if self.edge is not None and not force:
            raise GraphError(
                "can't call numpy() on Tensor that requires grad.", mend="Use tensor.detach().numpy() instead."
            )
        return self.value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """array + tensor and np.exp(tensor): the operator of that name, so that gradients flow; a Tensor."""
        from chainrule.tensor.dispatch import GATES

        name = NUMPYS_OPERATORS.get(ufunc.__name__, ufunc.__name__)
        if method != "__call__" or options or name not in CATALOGUE:
            arrays = [x.numpy() if isinstance(x, Tensor) else x for x in inputs]
            if any(isinstance(out, Tensor) for out in options.get("out", ())):
                return NotImplemented
            return getattr(ufunc, method)(*arrays, **options)
        tensors = [wrap(array_of(x), None) if isinstance(x, np.ndarray) else x for x in inputs]
        return tensors[0] @ tensors[1] if name == "matmul" else GATES[name](*tensors)

    def __dlpack__(self, **options: Any) -> Any:
        return self.numpy().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def item(self) -> Any:
        """The one element as a Python number.

        Raises:
            GraphError: for more than one element.
        """
        if self.value.size != 1:
            raise GraphError(
                f"a Tensor with {self.value.size} elements cannot be converted to Scalar",
                got=[describe("tensor", self)],
            )
        return self.value.item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self.value.tolist()

    def __bool__(self) -> bool:
        if self.value.size != 1:
            raise GraphError(
                f"Boolean value of Tensor with {self.value.size} values is ambiguous",
                mend="Use x.any() or x.all().",
            )
        return bool(self.value.item())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __index__(self) -> int:
        if self.value.dtype.kind not in "iub":
            raise ArgumentTypeError(f"only integer tensors of a single element can be an index, not {self.dtype}")
        return int(self.item())

    def __len__(self) -> int:
        if not self.value.ndim:
            raise ArgumentTypeError("len() of a 0-d tensor")
        return int(self.value.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        if not self.value.ndim:
            raise ArgumentTypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __contains__(self, element: Any) -> bool:
        return bool(np.any(self.value == (element.value if isinstance(element, Tensor) else element)))

    def __repr__(self) -> str:
        from chainrule.tensor.printing import representation

        return representation(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.value.size == 1 else format(repr(self), spec)

    def __reduce__(self) -> Any:
        return (rebuilt, (type(self), self.value, self.requires_grad, own_attributes(self)))

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if isinstance(self.edge, Node):
            raise GraphError(
                "only tensors created explicitly by the user (graph leaves) support deepcopy",
                mend="Copy x.detach() or use x.clone().",
            )
        kind = Tensor if type(self).__reduce__ is not Tensor.__reduce__ else type(self)  # a View's copy is no view
        copied = rebuilt(kind, self.value.copy(), self.requires_grad, {})
        memo[id(self)] = copied
        copied.__dict__.update(deepcopy(own_attributes(self), memo))
        if self.grad is not None:
            copied.grad = wrap(self.grad.value.copy(), None)
        return copied


NUMPYS_OPERATORS = {
    "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div", "power": "pow", "negative": "neg",
    "absolute": "abs", "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt",
    "greater_equal": "ge", "rint": "round", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2",
    "invert": "bitwise_not",
}  # fmt: skip
"""The operators that NumPy calls by other names."""


class Size(tuple[int, ...]):
    """A shape: a tuple that prints like PyTorch's and can count its elements."""

    __slots__ = ()

    def numel(self) -> int:
        """How many elements a tensor of this shape has."""
        return int(np.prod(self, dtype=np.int64))

    def __repr__(self) -> str:
        return f"chainrule.Size({list(self)})"


_new = object.__new__


def wrap(value: Array, edge: Edge | None) -> Tensor:
    """A Tensor around an array, without a copy: how every operator makes its result."""
    tensor = _new(Tensor)
    tensor.value = value
    tensor.edge = edge
    return tensor


def own_attributes(tensor: Tensor) -> dict[str, Any]:
    """What the user set on a tensor: `x.note = ...`."""
    return {name: value for name, value in tensor.__dict__.items() if name != "_grad"}


def rebuilt(kind: type[Tensor], value: Array, requires_grad: bool, attributes: dict[str, Any]) -> Tensor:
    """A tensor of a class, from its parts: unpickling and deepcopy."""
    tensor = _new(kind)
    known = numpy_dtype(value.dtype)
    if value.dtype is not known:  # pickle makes a new object of the same type, which the gates' fast path misses
        value = value.view(known)
    tensor.value = value
    tensor.edge = Leaf(value, tensor) if requires_grad else None
    tensor.__dict__.update(attributes)
    return tensor


def watch(edge: Edge) -> Watch:
    """The hooks of an edge, made on first use."""
    if edge.watch is None:
        edge.watch = Watch()
    return edge.watch


def replace_value(tensor: Tensor, value: Array) -> None:
    """Give a tensor another array, of any shape and type: `x.data = ...`."""
    changed()
    tensor.value = value
    if isinstance(tensor.edge, Leaf):
        if value.shape != tensor.edge.shape:
            tensor.edge.shape = value.shape
            tensor.edge.grad = None
        tensor.edge.value = value
        tensor.edge.version += 1
    stamp(value)


def wrote(tensor: Tensor) -> None:
    """Note that a tensor's elements were changed in place."""
    if isinstance(tensor.edge, Leaf):
        tensor.edge.version += 1
    stamp(tensor.value)


# ---- the default type, and the legacy constructors -----------------------------------------------------------


class _Defaults:
    """What new tensors are where nothing else is said."""

    float_type: np.dtype[Any] = np.dtype(np.float32)


def default_float() -> np.dtype[Any]:
    """NumPy's name of the default float type."""
    return _Defaults.float_type


def set_default_dtype(d: DType) -> None:
    """Make Python floats and factory functions give this type (float32 until then)."""
    if not d.is_floating_point:
        raise ArgumentTypeError(f"only floating-point types are supported as the default type, not {d}")
    _Defaults.float_type = numpy_dtype(d)


def get_default_dtype() -> DType:
    """The type that Python floats and factory functions give."""
    return dtype_of(_Defaults.float_type)


def legacy_array(data: tuple[Any, ...], dtype: np.dtype[Any]) -> Array:
    """What `Tensor(2, 3)` and `Tensor([1, 2])` mean: sizes, or elements."""
    if not data:
        return np.empty((0,), dtype)
    if all(isinstance(n, int) for n in data):
        return np.zeros(data, dtype)
    if len(data) == 1 and isinstance(data[0], Size):
        return np.zeros(data[0], dtype)
    if len(data) == 1:
        return np.array(array_of(data[0]), dtype=dtype)
    raise ArgumentTypeError("Tensor(...) takes one sequence or array, or sizes; use chainrule.tensor(data)")
