"""What happens inside vector registers: the ends of rows, sums across lanes, and small transposes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.compiler.targets.llvm.text import Function, Type, Value

BLOCK_BITS = 128
"""Shuffles within blocks of so many bits, or of whole blocks, are one instruction without a table."""


@dataclass(frozen=True)
class Piece:
    """Some lanes of a row: `valid` elements from `offset` on, in a vector of `lanes` (0: a scalar)."""

    offset: int
    lanes: int
    valid: int

    @property
    def is_full(self) -> bool:
        return self.valid == max(self.lanes, 1)

    def mask(self, f: Function) -> Value | None:
        """The lanes that are in the row; None if all are."""
        return None if self.is_full else f.first_lanes(self.valid, self.lanes)

    def load(self, f: Function, pointer: Value, type: Type) -> Value:
        """The elements of the piece, whose row starts at `pointer`; zeros in the other lanes."""
        return f.load(f.at(pointer, self.offset, type), type.of(self.lanes), mask=self.mask(f))

    def store(self, f: Function, value: Value, pointer: Value) -> None:
        """Its elements into the row that starts at `pointer`; nothing else is touched."""
        f.store(value, f.at(pointer, self.offset, value.type), mask=self.mask(f))


def pieces(count: int, lanes: int, masked: bool) -> tuple[Piece, ...]:
    """A row in vectors: full ones first; the rest in the narrowest vector that holds it, under a mask.

    Machines without masked loads take the rest in halves, quarters ... and a scalar.
    """
    done = count // lanes * lanes
    result = [Piece(i, lanes, lanes) for i in range(0, done, lanes)]
    while rest := count - done:
        narrow = 1 << (rest.bit_length() - 1)
        if masked and narrow < rest:
            return (*result, Piece(done, 2 * narrow, rest))
        result.append(Piece(done, narrow if narrow > 1 else 0, narrow))
        done += narrow
    return tuple(result)


def in_one(count: int, lanes: int, masked: bool) -> tuple[Piece, ...]:
    """The first `count` lanes of a vector: in one access where there are masks."""
    return (Piece(0, lanes, count),) if masked else pieces(count, lanes, masked)


def load_part(f: Function, pointer: Value, type: Type, lanes: int, parts: Sequence[Piece]) -> Value:
    """A vector of `lanes` whose first ones are those pieces; zeros behind them."""
    zero = Value("zeroinitializer", type.of(lanes))
    result = zero
    for part in parts:
        value = part.load(f, pointer, type)
        if part.lanes == lanes:
            return value
        if part.lanes == 0:
            result = f.insert(result, value, part.offset)
            continue
        wide = f.shuffle(value, value, [min(i, part.lanes - 1) for i in range(lanes)])
        start, end = part.offset, part.offset + part.lanes
        shifted = [lanes + i - start if start <= i < end else i for i in range(lanes)]
        result = f.shuffle(result, wide, shifted)
    return result


def store_part(f: Function, value: Value, pointer: Value, parts: Sequence[Piece]) -> None:
    """The first lanes of a vector into memory, as those pieces."""
    for part in parts:
        if part.lanes == value.type.lanes:
            lanes = value
        elif part.lanes:
            lanes = f.shuffle(value, value, range(part.offset, part.offset + part.lanes))
        else:
            lanes = f.extract(value, part.offset)
        part.store(f, lanes, pointer)


def _every_other(lanes: int, unit: int, span: int, odd: int) -> list[int]:
    """Of two vectors, in every `span` lanes: each second group of `unit` lanes of the one, then of the other."""
    places = []
    for start in range(0, lanes, span):
        kept = [start + i for i in range(span) if i // unit % 2 == odd]
        places += [*kept, *[lanes + i for i in kept]]
    return places


def _levels(type: Type) -> list[tuple[int, int]]:
    """(unit, span) of the shuffles that take a vector apart: within blocks, then whole blocks."""
    block = min(BLOCK_BITS // (8 * type.bytes), type.lanes)
    return [(1, block), (block, type.lanes)]


def transposed(f: Function, rows: Sequence[Value]) -> list[Value]:
    """The columns of a square of as many vectors as they have lanes."""
    type = rows[0].type

    def within(vectors: list[Value], unit: int, span: int) -> list[Value]:
        if len(vectors) == 1:
            return vectors
        pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
        even, odd = (
            within([f.shuffle(a, b, _every_other(type.lanes, unit, span, side)) for a, b in pairs], unit, span)
            for side in (0, 1)
        )
        return [v for both in zip(even, odd, strict=True) for v in both]

    (unit, block), (_, lanes) = _levels(type)
    small = [within(list(rows[i : i + block]), unit, block) for i in range(0, lanes, block)]
    # small[q][j] holds, in its block b, column b * block + j of the rows from q * block on
    columns = [within([group[j] for group in small], block, lanes) for j in range(block)]
    return [columns[j][b] for b in range(lanes // block) for j in range(block)]


def summed(f: Function, vectors: Sequence[Value]) -> Value:
    """The sum over the lanes of each vector, as one vector (a scalar of one): a fixed tree of additions.

    Args:
        vectors: a power of two of them, at most as many as they have lanes.
    """
    level = list(vectors)
    while (lanes := level[0].type.lanes) > len(level):  # fewer sums than lanes: fold each onto its half
        half = lanes // 2
        if half == 1:
            return f.add(f.extract(level[0], 0), f.extract(level[0], 1))
        level = [f.add(f.shuffle(v, v, range(half)), f.shuffle(v, v, range(half, lanes))) for v in level]
    for unit, span in _levels(level[0].type):
        for _ in range((span // unit).bit_length() - 1):
            even, odd = (_every_other(lanes, unit, span, side) for side in (0, 1))
            pairs = zip(level[::2], level[1::2], strict=True)
            level = [f.add(f.shuffle(a, b, even), f.shuffle(a, b, odd)) for a, b in pairs]
    return level[0]
