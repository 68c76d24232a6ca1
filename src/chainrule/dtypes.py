"""The element types and PyTorch's promotion table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from chainrule.errors import ArgumentTypeError, UnsupportedError


@dataclass(frozen=True, eq=False)
class DType:
    """One element type. There is one object for each, so `x.dtype is chainrule.float32` holds.

    kind is "b" for bool, "i" for integers, "u" for uint8, "f" for floats; itemsize is in bytes.
    """

    name: str
    kind: str
    itemsize: int

    @property
    def is_floating_point(self) -> bool:
        return self.kind == "f"

    @property
    def is_complex(self) -> bool:
        return False

    @property
    def is_signed(self) -> bool:
        return self.kind in "if"

    def __repr__(self) -> str:
        return f"chainrule.{self.name}"

    def __reduce__(self) -> str | tuple[object, ...]:
        return (dtype_named, (self.name,))


bool_ = DType("bool", "b", 1)
uint8 = DType("uint8", "u", 1)
int8 = DType("int8", "i", 1)
int16 = DType("int16", "i", 2)
int32 = DType("int32", "i", 4)
int64 = DType("int64", "i", 8)
float16 = DType("float16", "f", 2)
float32 = DType("float32", "f", 4)
float64 = DType("float64", "f", 8)
bfloat16 = DType("bfloat16", "f", 2)

STORED = (bool_, uint8, int8, int16, int32, int64, float16, float32, float64)
"""The types that arrays can have. bfloat16 has a name, for programs that only mention it, and no arithmetic."""

_BY_NAME = {d.name: d for d in (*STORED, bfloat16)}


def dtype_named(name: str) -> DType:
    """The element type of that name.

    Raises:
        UnsupportedError: for complex types.
        ArgumentTypeError: for any other name.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    if name.startswith("complex"):
        raise UnsupportedError(
            f"{name} is not supported: chainrule computes with real numbers.",
            mend="Keep the real and the imaginary part as two tensors.",
        )
    raise ArgumentTypeError(f"no element type '{name}'; there are {', '.join(_BY_NAME)}")


_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}


def promote(a: DType, b: DType) -> DType:
    """PyTorch's common type of two tensors of one dimension or more.

    The higher category (bool < integer < float) wins and keeps its width; inside a category the wider
    wins, and uint8 with a signed type gives a signed type that holds both.
    """
    if a is b:
        return a
    if _CATEGORY[a.kind] != _CATEGORY[b.kind]:
        return a if _CATEGORY[a.kind] > _CATEGORY[b.kind] else b
    if {a, b} == {uint8, int8}:
        return int16
    if a.itemsize == b.itemsize:  # float16 with bfloat16
        return float32
    return a if a.itemsize > b.itemsize else b


ARRAY, SCALAR, NUMBER = 0, 1, 2
"""What an operand is: a tensor with dimensions, a 0-d tensor, a Python number."""


def promote_all(operands: list[tuple[DType, int]]) -> DType:
    """The common type of operands, each given with what it is (ARRAY, SCALAR or NUMBER).

    An operand of a later rank decides only where its category is higher than that of all earlier ranks, as
    in PyTorch: a float64 0-d tensor does not widen a float32 array, and 2.5 turns integers into floats.
    """
    result: DType | None = None
    for rank in (ARRAY, SCALAR, NUMBER):
        for t in _fold([t for t, r in operands if r == rank]):
            if result is None or _CATEGORY[t.kind] > _CATEGORY[result.kind]:
                result = t
    assert result is not None, "promotion of no operands"
    return result


def _fold(types: list[DType]) -> list[DType]:
    """The promoted type as a list of one, or an empty list."""
    return [reduce(promote, types)] if types else []
