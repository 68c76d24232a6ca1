"""What a matrix product is, what a machine must say about itself, and what a written product calls back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from chainrule.compiler.targets.llvm.text import F32, F64, Function, Type, Value
from chainrule.errors import ArgumentError


class Machine(Protocol):
    """The facts about a processor that choose a product's loops."""

    @property
    def vector_bits(self) -> int: ...
    @property
    def registers(self) -> int: ...
    @property
    def l1_bytes(self) -> int: ...
    @property
    def l2_bytes(self) -> int: ...


@dataclass(frozen=True)
class Strides:
    """Element (i, j) of a matrix lies at i * row + j * column, counted in elements."""

    row: int
    column: int

    @property
    def transposed(self) -> Strides:
        return Strides(self.column, self.row)


@dataclass(frozen=True)
class Product:
    """C = A B: C[i, j] = sum over p of A[i, p] B[p, j].

    Args:
        m, n, k: C is (m, n), A is (m, k), B is (k, n); each at least 1.
        a, b: where the elements of A and B lie.
        c: where the epilogue stores C; it decides along which axis the results' vectors run.
        type: F32 or F64.

    Raises:
        ArgumentError: a size below 1, or another element type.
    """

    m: int
    n: int
    k: int
    a: Strides
    b: Strides
    c: Strides
    type: Type

    def __post_init__(self) -> None:
        if min(self.m, self.n, self.k) < 1:
            raise ArgumentError(f"Product: sizes are at least 1, not m={self.m}, n={self.n}, k={self.k}")
        if self.type not in (F32, F64):
            raise ArgumentError(f"Product: elements are float or double, not {self.type}")

    @property
    def transposed(self) -> Product:
        """C' = B' A': the same numbers with rows and columns exchanged."""
        a, b, c = self.b.transposed, self.a.transposed, self.c.transposed
        return replace(self, m=self.n, n=self.m, a=a, b=b, c=c)


class Epilogue(Protocol):
    """Called while a product is written, once for each vector of C that is finished there.

    `value` holds consecutive elements of C from (row, column) on, along "n" (a row of C) or "m" (a column); it
    is a scalar where one element is left. `mask`, where given, is true in the lanes that belong to C.
    """

    def __call__(
        self, f: Function, row: Value, column: Value, value: Value, mask: Value | None, along: str
    ) -> None: ...


class Ahead(Protocol):
    """Called while a product is written, before a tile of C is multiplied, for each vector that the tile will finish.

    What the epilogue will read can be fetched meanwhile: it comes from memory in the time of the multiplications.
    """

    def __call__(self, f: Function, row: Value, column: Value, along: str) -> None: ...


class Phase(Protocol):
    """A part of a product: `units` pieces of work that may run in any order and on any thread."""

    @property
    def units(self) -> int: ...

    def write(
        self, f: Function, a: Value, b: Value, scratch: Value, begin: Value, end: Value, epilogue: Epilogue,
        ahead: Ahead,
    ) -> None:  # fmt: skip
        """Write the loops over the units begin <= unit < end (i64; at least one) into the current block."""


@dataclass(frozen=True)
class Plan:
    """How a product is computed: phases that run one after the other, and the memory they share.

    Args:
        phases: each one finishes before the next one starts.
        scratch_bytes: memory, aligned to 64 bytes, for the copies of operands and for partial sums.
    """

    phases: tuple[Phase, ...]
    scratch_bytes: int
