"""Boxes as LaTeX for math mode; it needs the package amsmath."""

from __future__ import annotations

import re

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

LETTERS = {
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta", "ε": r"\epsilon", "ζ": r"\zeta", "η": r"\eta",
    "θ": r"\theta", "κ": r"\kappa", "λ": r"\lambda", "μ": r"\mu", "ν": r"\nu", "ξ": r"\xi", "π": r"\pi",
    "ρ": r"\rho", "σ": r"\sigma", "τ": r"\tau", "φ": r"\phi", "χ": r"\chi", "ψ": r"\psi", "ω": r"\omega",
    "Γ": r"\Gamma", "Δ": r"\Delta", "Θ": r"\Theta", "Λ": r"\Lambda", "Σ": r"\Sigma", "Φ": r"\Phi", "Ψ": r"\Psi",
    "Ω": r"\Omega", "ℓ": r"\ell", "∂": r"\partial", "𝟏": r"\mathbf{1}",
}  # fmt: skip
SIGNS = {
    "−": "-", "⋅": r"\cdot", "⊙": r"\odot", "×": r"\times", "≤": r"\le", "≥": r"\ge", "≠": r"\ne", "≈": r"\approx",
    "∈": r"\in", "→": r"\to", "←": r"\leftarrow", "∧": r"\land", "∨": r"\lor", "⊻": r"\veebar", "¬": r"\lnot",
    "∑": r"\sum", "∏": r"\prod", "′": r"\prime", "⋯": r"\cdots", "⋮": r"\vdots", "⋱": r"\ddots", "∞": r"\infty",
    "⊤": r"\top",
}  # fmt: skip
BRACKETS = {
    "{": r"\{", "}": r"\}", "⌊": r"\lfloor", "⌋": r"\rfloor", "⌈": r"\lceil", "⌉": r"\rceil", "‖": r"\|",
}  # fmt: skip
FUNCTIONS = frozenset(["exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "max", "min"])
"""The functions that have a command of their own."""

_ESCAPES = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    **{c: "\\" + c for c in "{}$&#_%"},
}  # fmt: skip


def tex(box: Box) -> str:
    """The box as LaTeX, without the dollar signs around it."""
    match box:
        case Identifier(text):
            return _letters(text)
        case Word(text):
            return _function(text)
        case Numeral(text):
            return text
        case Text(text):
            return rf"\text{{{escaped(text)}}}" if text else "{}"
        case Operator():
            return _sign(box)
        case Row(parts):
            return _row(parts)
        case Scripts():
            return _scripts(box)
        case Limits(base, below):
            return _limits(base, below)
        case Fraction(top, bottom):
            return rf"\frac{{{tex(top)}}}{{{tex(bottom)}}}"
        case Root(body):
            return rf"\sqrt{{{tex(body)}}}"
        case Fenced(body, left, right):
            return _fenced(tex(body), BRACKETS.get(left, left), BRACKETS.get(right, right), tall=is_tall(body))
        case Hat(base):
            return rf"\hat{{{tex(base)}}}"
        case Matrix(rows):
            return _lines("bmatrix", [" & ".join(map(tex, row)) for row in rows])
        case Cases(rows):
            return _lines("cases", [f"{tex(value)}, & {tex(condition)}" for value, condition in rows])
        case Chain(left, rights):
            head, *rest = [f"&= {tex(right)}" for right in rights]
            return _lines("aligned", [f"{tex(left)} {head}", *rest])
    raise TypeError(f"not a box: {box!r}")


def escaped(text: str) -> str:
    """Plain text with the characters escaped that LaTeX reads as commands."""
    return "".join([_ESCAPES.get(c, c) for c in text])


def is_tall(box: Box) -> bool:
    """True for what needs brackets that grow: fractions, matrices, sums with an index."""
    match box:
        case Fraction() | Matrix() | Cases() | Chain() | Limits():
            return True
        case Row(parts):
            return any(map(is_tall, parts))
        case Scripts(base) | Hat(base):
            return is_tall(base)
        case Fenced(body) | Root(body):
            return is_tall(body)
    return False


def _letters(text: str) -> str:
    if text in LETTERS:
        return LETTERS[text]
    return text if len(text) == 1 and text.isalpha() and text.isascii() else rf"\mathrm{{{escaped(text)}}}"


def _function(text: str) -> str:
    if text in FUNCTIONS:
        return "\\" + text
    return r"\operatorname{" + escaped(text).replace(" ", r"\,") + "}"


def _sign(operator: Operator) -> str:
    if operator in (TIMES, APPLY):
        return ""
    return SIGNS.get(operator.text, operator.text)


def _row(parts: tuple[Box, ...]) -> str:
    """Side by side with spaces, which end commands; none after a sign of a number or before a comma."""
    written = ""
    for part in parts:
        text = tex(part)
        tight = written == "-" or text == ","
        written += text if tight or not (written and text) else f" {text}"
    return written


def _scripts(box: Scripts) -> str:
    base = tex(box.base)
    if isinstance(box.base, Scripts | Row | Limits | Fraction):
        base = f"{{{base}}}"
    sub = "" if box.sub is None else f"_{{{tex(box.sub)}}}"
    if isinstance(box.sup, Operator) and box.sup.text == "′":
        return f"{base}{sub}'"
    return base + sub + ("" if box.sup is None else f"^{{{tex(box.sup)}}}")


def _limits(base: Box, below: Box) -> str:
    if isinstance(base, Operator) or (isinstance(base, Word) and base.text in FUNCTIONS):
        return f"{tex(base)}_{{{tex(below)}}}"
    return rf"\underset{{\,{tex(below)}\,}}{{{tex(base)}}}"


def _fenced(body: str, left: str, right: str, *, tall: bool) -> str:
    if tall:
        return rf"\left{left} {body} \right{right}"
    before, after = (" " if re.search("[A-Za-z|]$", bracket) else "" for bracket in (left, right))
    return f"{left}{before}{body}{after}{right}"


def _lines(environment: str, lines: list[str]) -> str:
    return rf"\begin{{{environment}}} " + r" \\ ".join(lines) + rf" \end{{{environment}}}"
