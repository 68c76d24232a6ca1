"""Boxes as Unicode for a terminal: one line where it goes, several for matrices, no wider than asked."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from itertools import zip_longest

from chainrule.notation.boxes import (
    APPLY,
    TIMES,
    Box,
    Cases,
    Chain,
    Fenced,
    Fraction,
    Hat,
    Identifier,
    Limits,
    Matrix,
    Numeral,
    Operator,
    Root,
    Row,
    Scripts,
    Text,
    Word,
)

SUPERSCRIPTS = dict(zip("0123456789+−-=(),Tnijklmabcdt′⊤", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾,ᵀⁿⁱʲᵏˡᵐᵃᵇᶜᵈᵗ′⊤", strict=True))
SUBSCRIPTS = dict(zip("0123456789×+−-=(),aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉ₓ₊₋₋₌₍₎,ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))
TALL = {
    "(": "⎛⎜⎝", ")": "⎞⎟⎠", "[": "⎡⎢⎣", "]": "⎤⎥⎦", "{": "⎧⎨⎩", "}": "⎫⎬⎭", "|": "│││", "‖": "‖‖‖",
    "⌊": "⎢⎢⎣", "⌋": "⎥⎥⎦", "⌈": "⎡⎢⎢", "⌉": "⎤⎥⎥",
}  # fmt: skip
"""The top, the middle and the bottom of a tall bracket."""

INDENT = "    "
"""Before what continues a line."""


def plain(box: Box, width: int = 100) -> str:
    """The box as text, its lines at most `width` cells long where there is a place to break them.

    A fraction stands on one line, with a slash; matrices take a line for each row. What does not fit is broken before
    an equality sign, then before a sign of the outermost sum or product.
    """
    if isinstance(box, Chain):
        return _chain(box, width)
    return "\n".join([line.rstrip() for line in _broken(box, width)])


def cells(text: str) -> int:
    """How many cells of a terminal a text takes: two for a Chinese character, none for a combining mark."""
    return sum(
        0 if unicodedata.combining(c) or c in "\u2061\u2062" else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


@dataclass(frozen=True)
class Block:
    """Lines of equal width; `base` is the one on which neighbours stand."""

    lines: tuple[str, ...]
    base: int = 0

    @property
    def width(self) -> int:
        return cells(self.lines[0])

    @property
    def is_line(self) -> bool:
        return len(self.lines) == 1


def block(box: Box) -> Block:
    """A box of any width as lines."""
    match box:
        case Identifier(text) | Word(text) | Numeral(text) | Text(text):
            return Block((text,))
        case Operator():
            return Block((_sign(box),))
        case Row(parts):
            return _beside([_operand(part, parts, i) for i, part in enumerate(parts)])
        case Scripts():
            return _scripts(box)
        case Limits(base, below):
            return _limits(block(base), below, inline=isinstance(base, Operator | Word))
        case Fraction(top, bottom):
            return _fraction(top, bottom)
        case Root(body):
            inside = block(body)
            return _beside([Block(("√",)), inside if isinstance(body, Numeral | Identifier) else _fenced(inside)])
        case Fenced(body, left, right):
            return _fenced(block(body), left, right)
        case Hat(base):
            return Block((unicodedata.normalize("NFC", block(base).lines[0] + "\N{COMBINING CIRCUMFLEX ACCENT}"),))
        case Matrix(rows):
            return _fenced(_grid([[block(cell) for cell in row] for row in rows]), "[", "]")
        case Cases(rows):
            grid = _grid([[block(value), block(condition)] for value, condition in rows], left=True, spread=True)
            return _fenced(grid, "{", "")
        case Chain(left, rights):
            return _beside([block(left), *[part for right in rights for part in (Block((" = ",)), block(right))]])
    raise TypeError(f"not a box: {box!r}")


# ---- width ----------------------------------------------------------------------------------------------------


def _chain(chain: Chain, width: int) -> str:
    whole = block(chain)
    if whole.is_line and whole.width <= width:
        return whole.lines[0].rstrip()
    left = block(chain.left)
    if left.width + 3 > width // 2:
        left, first = Block((INDENT[:-2],)), block(chain.left).lines
    else:
        first = ()
    lines: list[str] = list(first)
    for i, right in enumerate(chain.rights):
        head = left if i == 0 else Block((" " * left.width,))
        for j, part in enumerate(_pieces_in_lines(right, width - left.width - 3)):
            sign = Block((" = " if j == 0 else "   ",))
            lines += _beside([head if j == 0 else Block((" " * left.width,)), sign, part]).lines
    return "\n".join([line.rstrip() for line in lines])


def _broken(box: Box, width: int) -> list[str]:
    lines: list[str] = []
    for i, part in enumerate(_pieces_in_lines(box, width)):
        lines += part.lines if i == 0 else _beside([Block((INDENT,)), part]).lines
    return lines


def _pieces_in_lines(box: Box, width: int) -> list[Block]:
    """The box in as many lines as it needs: broken before the signs of its outermost row."""
    whole = block(box)
    if whole.width <= width or not isinstance(box, Row):
        return [whole]
    pieces: list[list[Block]] = [[]]
    for i, part in enumerate(box.parts):
        if isinstance(part, Operator) and part.form == "infix" and pieces[-1]:
            pieces.append([])
        pieces[-1].append(_operand(part, box.parts, i))
    lines: list[list[Block]] = [[]]
    for piece in map(_beside, pieces):
        room = width - (len(INDENT) if len(lines) > 1 else 0)
        if lines[-1] and sum(one.width for one in lines[-1]) + piece.width > room:
            lines.append([])
            piece = _without_indent(piece)
        lines[-1].append(piece)
    return [_beside(line) for line in lines]


def _without_indent(piece: Block) -> Block:
    """A sign that begins a line has no space before it."""
    space = all(line.startswith(" ") for line in piece.lines)
    return Block(tuple([line[1:] for line in piece.lines]), piece.base) if space else piece


# ---- parts ----------------------------------------------------------------------------------------------------


def _sign(operator: Operator) -> str:
    if operator == APPLY:
        return ""
    if operator == TIMES:
        return " "
    return {"infix": f" {operator.text} ", "comma": f"{operator.text} "}.get(operator.form, operator.text)


def _operand(part: Box, parts: tuple[Box, ...], place: int) -> Block:
    """A fraction beside a factor gets parentheses, as its slash would seem to reach further; 1/2 does not."""
    if not isinstance(part, Fraction):
        return block(part)
    multiplied_before = place > 0 and parts[place - 1] == TIMES
    multiplied_after = place + 1 < len(parts) and parts[place + 1] == TIMES and not isinstance(part.bottom, Numeral)
    inside = block(part)
    return _fenced(inside) if inside.is_line and (multiplied_before or multiplied_after) else inside


def _scripts(box: Scripts) -> Block:
    base = block(box.base)
    sub = None if box.sub is None else _script(box.sub, SUBSCRIPTS, "_")
    sup = None if box.sup is None else _script(box.sup, SUPERSCRIPTS, "^")
    if isinstance(box.base, Fraction | Scripts | Row):
        base = _fenced(base)
    if base.is_line:
        return Block((base.lines[0] + (sub or "") + (sup or ""),))
    lines = [""] * len(base.lines)
    lines[-1], lines[0] = sub or "", sup or ""
    return _beside([base, Block(_even(lines), base.base)])


def _script(box: Box, alphabet: dict[str, str], mark: str) -> str:
    inside = block(box)
    text = inside.lines[0].replace(" ", "") if inside.is_line else ""
    if text and all(c in alphabet for c in text):
        return "".join([alphabet[c] for c in text])
    text = " ".join(line.strip() for line in inside.lines)
    return f"{mark}{text}" if text.isalnum() else f"{mark}({text})"


def _limits(base: Block, below: Box, *, inline: bool) -> Block:
    if inline:
        return Block((base.lines[0] + _script(below, SUBSCRIPTS, "_"),))
    under = block(below)
    lines = [*base.lines, *[line.replace(" × ", "×") for line in under.lines]]
    width = max(map(cells, lines))
    return Block(tuple([_centred(line, width) for line in lines]), base.base)


def _fraction(top: Box, bottom: Box) -> Block:
    above, under = block(top), block(bottom)
    if above.is_line and under.is_line:
        slash = Block(("/",))
        return _beside([_inline(top, above, first=True), slash, _inline(bottom, under, first=False)])
    width = max(above.width, under.width)
    lines = [_centred(line, width) for line in (*above.lines, "─" * width, *under.lines)]
    return Block(tuple(lines), len(above.lines))


def _inline(box: Box, laid: Block, *, first: bool) -> Block:
    """A part of a slashed fraction: with parentheses if a sign inside would bind less than the slash."""
    signs = [p for p in box.parts if isinstance(p, Operator) and p != APPLY] if isinstance(box, Row) else []
    loose = any(p.form != "prefix" or not first for p in signs)
    return _fenced(laid) if loose or isinstance(box, Fraction) else laid


def _fenced(inside: Block, left: str = "(", right: str = ")") -> Block:
    if inside.is_line:
        return Block((f"{left}{inside.lines[0]}{right}",))
    ends = [_tall(bracket, len(inside.lines), inside.base) for bracket in (left, right) if bracket]
    return _beside([ends[0], inside, *ends[1:]])


def _tall(bracket: str, height: int, base: int) -> Block:
    top, middle, bottom = tuple(TALL[bracket])
    lines = [top, *[middle] * (height - 2), bottom]
    if bracket in "{}":  # one waist
        lines = [top, *["⎪"] * (height - 2), bottom]
        lines[height // 2] = middle if height > 2 else bottom
    return Block(tuple(lines), base)


def _grid(rows: list[list[Block]], *, left: bool = False, spread: bool = False) -> Block:
    widths = [max(cell.width for cell in column) for column in zip(*rows, strict=True)]
    lines: list[str] = []
    for i, row in enumerate(rows):
        padded = [_padded(cell, width, left=left) for cell, width in zip(row, widths, strict=True)]
        spaced = [part for cell in padded for part in (Block(("  ",)), cell)][1:]
        made = _beside(spaced)
        if spread and i:
            lines.append(" " * made.width)
        lines += made.lines
    return Block(tuple(lines), (len(lines) - 1) // 2)


def _padded(cell: Block, width: int, *, left: bool) -> Block:
    space = " " * (width - cell.width)
    return Block(tuple([line + space if left else space + line for line in cell.lines]), cell.base)


def _beside(blocks: list[Block]) -> Block:
    """Blocks side by side, their base lines level."""
    blocks = [one for one in blocks if one.lines != ("",)] or [Block(("",))]
    above = max(one.base for one in blocks)
    columns = []
    for one in blocks:
        blank = " " * one.width
        columns.append([*[blank] * (above - one.base), *one.lines])
    widths = [one.width for one in blocks]
    lines = [
        "".join([" " * width if line is None else line for line, width in zip(row, widths, strict=True)])
        for row in zip_longest(*columns)
    ]
    return Block(tuple(lines), above)


def _even(lines: list[str]) -> tuple[str, ...]:
    width = max(map(cells, lines))
    return tuple([line + " " * (width - cells(line)) for line in lines])


def _centred(line: str, width: int) -> str:
    space = width - cells(line)
    return " " * (space // 2) + line + " " * (space - space // 2)
