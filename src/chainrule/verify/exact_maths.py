"""Reader: real numbers to as many digits as asked for. It says what is true; floats are measured against it.

Values are NumPy object arrays of mpmath numbers, and arrays of bools and integers for masks and indices. What
only moves elements (movement, selection) or only adds and multiplies them (contraction) is the NumPy reader's
code, which is the same for any element; primitives that compute are supplied here; every other operator
follows from its *definition*, never from its `compute`: that is what `compute` is checked against.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import mpmath  # type: ignore[import-untyped]  # it has no stubs
import numpy as np

from chainrule.errors import ArgumentError, ArgumentTypeError
from chainrule.ops.catalogue import CATALOGUE
from chainrule.tensor.numpy_maths import NumPyMaths

Number: TypeAlias = Any
"""One mpmath number."""


class ExactArray(np.ndarray[Any, Any]):
    """A NumPy array whose 0-d results stay arrays, so that they keep a shape, and whose x / 0 is inf or nan."""

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return np.asarray(array).view(ExactArray)

    def __truediv__(self, other: Any) -> Any:
        return _divided(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _divided(other, self)


class ExactMaths:
    """`m` in real arithmetic, rounded to `digits` significant decimal digits after each operation.

    Parameters come by name, inputs by position. Python floats stand for the binary numbers that they are.
    Where a real function has no real value the result is nan, as in floats: log(-1), (-8)^(1/3), 0 / 0.
    Keep `digits` well above the digits that cancel: 1 - tanh(700) needs 650.

    Args:
        digits: significant decimal digits, 15 or more.

    Raises:
        ArgumentError: for fewer digits than floats have.

    Example:
        >>> m = ExactMaths(digits=30)
        >>> print(m.sigmoid(m.number(2)))
        0.880797077977882444059729141302
    """

    def __init__(self, digits: int = 60) -> None:
        if digits < 15:
            raise ArgumentError(f"ExactMaths(digits={digits}): floats have 15 digits, exact arithmetic needs more")
        self.digits = digits
        self.context = mpmath.MPContext()
        self.context.dps = digits

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """The operator of that name: from its definition, or the NumPy reader's primitive on exact elements."""
        op = CATALOGUE.get(name)
        if op is None:
            raise AttributeError(f"no operator '{name}'")
        run = partial(self._moved, getattr(NumPyMaths, name)) if op.primitive else partial(op.definition, self)
        setattr(self, name, run)
        return run

    # ---- values in and out -----------------------------------------------------------------------------

    def number(self, x: Any) -> Any:
        """`x` as a value of this reader: floats become exact numbers, integer and bool *arrays* stay.

        A Python int or float, or nested lists with floats, become numbers too.
        """
        array = np.asarray(x)
        if array.dtype.kind in "biu" and isinstance(x, np.ndarray | list | tuple):
            return array.view(ExactArray)
        return self._each(self.context.convert, array.astype(object))

    def rounded(self, x: Any, dtype: Any) -> Any:
        """The elements of `x` each rounded once to the nearest number of a float type.

        Beyond float64's range that is inf or 0; float16 and float32 are rounded from float64, which moves a
        tie in 2^29 by half an ulp.
        """
        return np.asarray(x).astype(np.float64).astype(dtype)

    def _numbers(self, x: Any) -> Any:
        """The elements of `x`, bools and integers too, as numbers."""
        return self._each(self.context.convert, x)

    def _each(self, f: Callable[..., Number], *arrays: Any) -> Any:
        """`f` of every element; the arrays broadcast."""
        y = np.frompyfunc(f, len(arrays), 1)(*[np.asarray(a, dtype=object) for a in arrays])
        return np.asarray(y, dtype=object).view(ExactArray)

    def _real(self, f: Callable[..., Number], *arrays: Any) -> Any:
        """The same for a function of the complex numbers: nan where its value is not real."""

        def real(*numbers: Any) -> Number:
            try:
                y = f(*[self.context.convert(x) for x in numbers])
            except ZeroDivisionError:
                return self.context.inf
            return y if isinstance(y, self.context.mpf) else self.context.nan

        return self._each(real, *arrays)

    def _moved(self, primitive: Callable[..., Any], *inputs: Any, **params: Any) -> Any:
        """A primitive of the NumPy reader; the zeros and ones that it made are numbers afterwards."""
        y = np.asarray(primitive(*inputs, **params))
        return self.number(y)

    # ---- elementwise -------------------------------------------------------------------------------------

    def div(self, a: Any, b: Any) -> Any:
        """a / b, also of integers."""
        return _divided(self._numbers(a), self._numbers(b))

    def pow(self, a: Any, b: Any) -> Any:
        """a^b."""
        return self._real(lambda a, b: a**b, a, b)

    def floor_divide(self, a: Any, b: Any) -> Any:
        """floor(a / b)."""
        return self.floor(self.div(a, b))

    def remainder(self, a: Any, b: Any) -> Any:
        """a - b floor(a / b)."""
        return self._numbers(a) - b * self.floor_divide(a, b)

    def sign(self, x: Any) -> Any:
        """-1, 0 or 1."""
        return self._real(self.context.sign, x)

    def floor(self, x: Any) -> Any:
        """The largest integer not above x."""
        return self._real(self.context.floor, x)

    def ceil(self, x: Any) -> Any:
        """The smallest integer not below x."""
        return self._real(self.context.ceil, x)

    def round(self, x: Any) -> Any:
        """The nearest integer, halves to the even one."""
        return self._real(self.context.nint, x)

    def trunc(self, x: Any) -> Any:
        """The integer part."""
        return self._real(lambda x: self.context.floor(x) if x > 0 else self.context.ceil(x), x)

    def exp(self, x: Any) -> Any:
        """e^x."""
        return self._real(self.context.exp, x)

    def expm1(self, x: Any) -> Any:
        """e^x - 1."""
        return self._real(self.context.expm1, x)

    def log(self, x: Any) -> Any:
        """The natural logarithm."""
        return self._real(self.context.log, x)

    def log1p(self, x: Any) -> Any:
        """log(1 + x)."""
        return self._real(self.context.log1p, x)

    def sqrt(self, x: Any) -> Any:
        """The square root."""
        return self._real(self.context.sqrt, x)

    def sin(self, x: Any) -> Any:
        """The sine."""
        return self._real(self.context.sin, x)

    def cos(self, x: Any) -> Any:
        """The cosine."""
        return self._real(self.context.cos, x)

    def asin(self, x: Any) -> Any:
        """The inverse of the sine on [-1, 1]."""
        return self._real(self.context.asin, x)

    def acos(self, x: Any) -> Any:
        """The inverse of the cosine on [-1, 1]."""
        return self._real(self.context.acos, x)

    def atan(self, x: Any) -> Any:
        """The inverse of the tangent."""
        return self._real(self.context.atan, x)

    def atan2(self, a: Any, b: Any) -> Any:
        """The angle of the point with height a and abscissa b."""
        return self._real(self.context.atan2, a, b)

    def tanh(self, x: Any) -> Any:
        """The hyperbolic tangent."""
        return self._real(self.context.tanh, x)

    def erf(self, x: Any) -> Any:
        """The error function."""
        return self._real(self.context.erf, x)

    def maximum(self, a: Any, b: Any) -> Any:
        """The larger of the two; nan if one of them is nan."""
        return self._real(lambda a, b: a if a > b or a != a else b, a, b)

    def minimum(self, a: Any, b: Any) -> Any:
        """The smaller of the two; nan if one of them is nan."""
        return self._real(lambda a, b: a if a < b or a != a else b, a, b)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        """a where the condition holds, else b. Arrays of integers or bools stay what they are: they are indices."""
        y = np.where(condition, a, b)
        indices = y.dtype.kind in "biu" and (isinstance(a, np.ndarray) or isinstance(b, np.ndarray))
        return y.view(ExactArray) if indices else self._numbers(y)

    def cast(self, x: Any, *, dtype: Any) -> Any:
        """x as bools or integers where the type says so, else as numbers, which no float type rounds here."""
        kind = np.dtype(dtype).kind
        return np.asarray(x).astype(dtype).view(ExactArray) if kind in "biu" else self._numbers(x)

    def logical_and(self, a: Any, b: Any) -> Any:
        """Both are nonzero."""
        return np.logical_and(_truth(a), _truth(b))

    def logical_or(self, a: Any, b: Any) -> Any:
        """One of them is nonzero."""
        return np.logical_or(_truth(a), _truth(b))

    def logical_xor(self, a: Any, b: Any) -> Any:
        """Exactly one of them is nonzero."""
        return np.logical_xor(_truth(a), _truth(b))

    def logical_not(self, x: Any) -> Any:
        """x is zero."""
        return np.logical_not(_truth(x))

    # ---- reductions, random ------------------------------------------------------------------------------

    def any(self, x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
        """One element at least is nonzero."""
        return np.asarray(np.any(_truth(x), axis=axis, keepdims=keepdims)).view(ExactArray)

    def all(self, x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
        """No element is zero."""
        return np.asarray(np.all(_truth(x), axis=axis, keepdims=keepdims)).view(ExactArray)

    def uniform(self, key: int, counter: int, *, shape: tuple[int, ...], dtype: Any) -> Any:
        """The numbers that the float type draws; for exact numbers those of float64."""
        drawn = np.float64 if np.dtype(dtype).kind == "O" else dtype
        return self.number(NumPyMaths.uniform(key, counter, shape=shape, dtype=drawn))


def _truth(x: Any) -> Any:
    """Which elements are nonzero."""
    return np.asarray(np.asarray(x) != 0).view(ExactArray)


def _divided(a: Any, b: Any) -> Any:
    if np.asarray(a).dtype != object and np.asarray(b).dtype != object:
        raise ArgumentTypeError("masks and indices have no exact quotient by /; take m.div(a, b)")
    y = np.frompyfunc(_quotient, 2, 1)(np.asarray(a), np.asarray(b))
    return np.asarray(y, dtype=object).view(ExactArray)


def _quotient(a: Number, b: Number) -> Number:
    if b != 0:
        return a / b
    context = (a if hasattr(a, "context") else b).context
    return context.nan if a == 0 or a != a else context.inf if a > 0 else context.ninf
