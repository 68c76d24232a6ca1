"""An explanation as text for a terminal: under 200 lines, in less detail where there is much, unless it is full."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from chainrule.explain.documents import flow_name, flows
from chainrule.explain.step import (
    CallSteps,
    EqualCalls,
    Fold,
    Item,
    Step,
    all_steps,
    row_names,
    shape_text,
    size_text,
)
from chainrule.notation.blocks import text_of
from chainrule.notation.boxes import Chain
from chainrule.notation.names import name_box
from chainrule.notation.numbers import shown
from chainrule.notation.plain import cells, plain
from chainrule.notation.words import Words, words
from chainrule.notation.wrapping import wrapped

if TYPE_CHECKING:
    from chainrule.explain.explanation import Explanation

LINES = 200
"""A printed explanation has fewer lines than this, unless it is to be full."""

NAMES = 16
"""So many names are listed where there is not room for all."""

PARTS = 8
"""So many shapes of what a formula reads stand beside it."""

ROWS = 12
"""Of so many equal calls each has a line; of more, the first and the last ones."""

ELIDED = 36
"""An array of more elements than this has its norm and range beside it."""


def in_lines(explanation: Explanation, width: int) -> str:
    """The text: modules closed from the inside out until it is short enough, then less said about each step."""
    if explanation.full:
        return "\n".join(_Printing(explanation, width, 3, None).lines())
    depth = _depth(explanation.items)
    for detail, opened in [*((3, level) for level in range(depth, -1, -1)), (2, 0), (1, 0)]:
        lines = _Printing(explanation, width, detail, opened).lines()
        if len(lines) < LINES:
            return "\n".join(lines)
    return "\n".join(_cut(lines, words(explanation.language)))


def _depth(items: Iterable[Item]) -> int:
    """How deep modules stand in each other."""
    inner = [item.first if isinstance(item, EqualCalls) else item for item in items]
    return max([1 + _depth(item.items) for item in inner if isinstance(item, CallSteps)], default=0)


class _Printing:
    """One attempt: `detail` from 3 to 1 says how much about each step, `opened` how many levels of modules are open."""

    def __init__(self, explanation: Explanation, width: int, detail: int, opened: int | None) -> None:
        self.of, self.width, self.detail, self.opened = explanation, width, detail, opened
        self.said: Words = words(explanation.language)
        self.printed: list[Step] = []
        self.closed: list[str] = []

    def lines(self) -> list[str]:
        """All lines."""
        body = list(self._body())
        found = [text_of(self.of.title), *wrapped(text_of(self.of.note), self.width), *self._names(), *body]
        if self.closed:
            found += ["", *wrapped(text_of(self.said.modules_closed(self.closed[0])), self.width)]
        return found

    def _body(self) -> Iterator[str]:
        for section in self.of.sections:
            yield ""
            yield section.title
            for item in section.items:
                yield from _indented(self._item(item, self.width - 4, self.opened))
            if section.note:
                yield from wrapped(text_of(section.note), self.width, "    ")

    def _names(self) -> Iterator[str]:
        """The quantities that the printed steps speak of, and what the user calls them."""
        parts = {name for one in self.printed for name in (one.symbol.rpartition("/d")[2], *one.parts)}
        mentioned = {form for name in parts for form in (name, *_whole(name))}
        names = [name for name in self.of.names if name.symbol in mentioned]
        if names and self.detail > 1:
            yield ""
            yield self.said.labels.names
            for name in names if self.detail > 2 else names[:NAMES]:
                yield f"    {plain(name.box)}  {name.called}  {shape_text(name.shape)}".rstrip()

    # ---- modules ---------------------------------------------------------------------------------------------

    def _item(self, item: Item, width: int, opened: int | None) -> Iterator[str]:
        match item:
            case Step():
                yield from self._step(item, width)
            case Fold():
                yield from self._fold(item, width)
            case CallSteps():
                yield from wrapped(f"{item.path} ({item.kind}){self.said.colon}{self._flows(item)}", width)
                yield from _indented(self._inside(item, width - 4, opened))
            case EqualCalls():
                yield from wrapped(text_of(self.said.equal_calls(*item.ends, item.first.kind, len(item.calls))), width)
                yield from _indented(self._rows(item))
                if opened == 0 and not item.first.opened:
                    yield from _indented(self._closed(item.calls, item.first.path, width - 4))
                else:
                    yield from self._item(item.first, width, opened)
                    yield from _indented(self._wanted(item.calls[1:], width - 4))

    def _inside(self, call: CallSteps, width: int, opened: int | None) -> Iterator[str]:
        if opened == 0 and not call.opened:
            yield from self._closed(call.items, call.path, width)
            return
        for item in call.items:
            yield from self._item(item, width, opened if opened is None or call.opened else opened - 1)

    def _closed(self, items: Sequence[Item], path: str, width: int) -> Iterator[str]:
        """What is printed of a closed module: the derivatives that were asked for."""
        self.closed.append(path)
        yield from self._wanted(items, width)

    def _wanted(self, items: Sequence[Item], width: int) -> Iterator[str]:
        for one in all_steps(items):
            if self.of.is_wanted(one):
                yield from self._step(one, width)

    def _flows(self, call: CallSteps) -> str:
        count = self.said.step_count(sum(1 for _ in all_steps(call.items)))
        return text_of((*flows(call.enters, call.leaves, self.said), ", ", *count))

    def _rows(self, equal: EqualCalls) -> Iterator[str]:
        """A line for each call: what enters and leaves it."""
        grid = [self._row(name, call) for name, call in zip(row_names(equal), equal.calls, strict=True)]
        if len(grid) > ROWS:
            grid = [*grid[: ROWS - 3], ["…"], *grid[-2:]]
        yield from aligned(grid)

    def _row(self, name: str, call: CallSteps) -> list[str]:
        sizes = [
            cell
            for i, flow in enumerate((*call.enters, *call.leaves))
            for cell in ("→" * (i == len(call.enters)), text_of(flow_name(flow, self.said)), size_text(flow.rms))
            if cell
        ]
        mine = [] if call.parameters is None else [self.said.labels.parameters, size_text(call.parameters)]
        return [name, *sizes, *mine]

    # ---- steps -----------------------------------------------------------------------------------------------

    def _fold(self, fold: Fold, width: int) -> Iterator[str]:
        yield f"[{text_of(self.said.repeated(fold.first, fold.last, fold.count))}]"
        self.printed += fold.block
        for one, (low, high) in zip(fold.block, fold.norms, strict=True):
            yield from _indented(plain(Chain(one.left, one.rights), width - 4).splitlines())
            yield f"        {self.said.labels.norm} {self._number(low)} … {self._number(high)}"

    def _step(self, one: Step, width: int) -> Iterator[str]:
        self.printed.append(one)
        rights = list(one.rights)
        if self.detail > 2 and one.substituted is not None:
            rights.append(one.substituted)
        large = np.size(one.value) > ELIDED if one.value is not None else False
        if one.number is not None and (self.detail > 1 or np.size(one.value) == 1):
            rights.append(one.number)
        text = plain(Chain(one.left, tuple(rights)), width).splitlines()
        facts = self._facts(one, with_norm=large or self.detail == 1)
        if facts and len(text) == 1 and len(text[0]) + len(facts) + 4 < width:
            text = [f"{text[0]}    {facts}"]
        elif facts:
            text += [f"    {facts}"] if len(facts) + 4 <= width else wrapped(facts, width, "    ")
        yield from text
        if one.reason and self.detail > 1:
            yield from wrapped(one.reason, width, "    ")

    def _facts(self, one: Step, *, with_norm: bool) -> str:
        """The shapes of the parts and the value, and of a large value its norm and range."""
        if one.value is None or not np.shape(one.value):
            return ""
        parts = [
            f"{plain(name_box(name, self.of.convention))} {shape_text(shape)}"
            for name, shape in one.parts.items()
            if shape
        ]
        parts = parts if len(parts) <= PARTS else [*parts[:PARTS], "…"]
        facts = f"[{shape_text(one.shape)}{' ← ' if parts else ''}{', '.join(parts)}]"
        if with_norm and np.size(one.value):
            value = np.asarray(one.value, np.float64)
            low, high = self._number(float(value.min())), self._number(float(value.max()))
            facts += f"  {self.said.labels.norm} {self._number(float(np.linalg.norm(value)))}, {low} … {high}"
        return facts

    def _number(self, value: float) -> str:
        return shown(value, self.of.convention).replace("-", "−")


def aligned(grid: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of cells as lines, the columns below each other."""
    widths = [0] * max(map(len, grid), default=0)
    for cells_ in grid:
        for i, cell in enumerate(cells_):
            widths[i] = max(widths[i], cells(cell))
    for cells_ in grid:
        yield "  ".join([cell + " " * (widths[i] - cells(cell)) for i, cell in enumerate(cells_)]).rstrip()


def _indented(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield f"    {line}"


def _cut(lines: list[str], said: Words) -> list[str]:
    """The beginning and the end of too long a text."""
    head, tail = 2 * LINES // 3, LINES // 4
    left = len(lines) - head - tail
    return [*lines[:head], f"    … {text_of(said.lines_left_out(left))}", *lines[-tail:]]


def _whole(element: str) -> tuple[str, ...]:
    """The names that the quantity of an element may have: w2_13 is one of W2, or of w2."""
    whole, underscore, _ = element.partition("_")
    return (whole, f"W{whole[1:]}") if underscore and whole[:1] == "w" else (whole,)
