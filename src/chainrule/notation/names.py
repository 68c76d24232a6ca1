"""How a name is set: a letter and the number of a layer, an index, a word, a derivative. The one place for it.

`W2` is a letter and a layer, `w3_24` has an index as well, `y_true` a word below, `yhat` a hat, `delta2` a Greek
letter; `dL/dz2` is a derivative of the loss, `d(a2)/d(z2)` any other. What is none of these stays one upright word.
"""

from __future__ import annotations

import re

from chainrule.notation.boxes import Box, Fenced, Fraction, Hat, Identifier, Numeral, Scripts, row, separated
from chainrule.notation.conventions import Convention
from chainrule.ops import activation
from chainrule.ops.op import Op

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eps": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "kappa": "κ", "lambda": "λ", "lambda_": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π",
    "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ",
    "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω", "ell": "ℓ",
}  # fmt: skip

LAYERED = frozenset(("W", "w", "b", "B", "z", "a", "h", "s", "δ"))
"""The letters whose number is that of a layer; the number of another letter is an index: x1 is the first input."""

INDICES = frozenset("ijklmn")

ACTIVATIONS = frozenset([one.name for one in vars(activation).values() if isinstance(one, Op)]) | {"tanh"}
"""The functions whose slope has a name, sigma'(z); that of a square or a logarithm is written out."""

_NAME = re.compile(r"(?P<base>[A-Za-z]+|[α-ωΑ-Ω])(?P<number>\d+)?(?:_(?P<index>[A-Za-z0-9,]+))?")
_OF_LOSS = re.compile(r"d(?P<top>\w+)/d(?P<bottom>.+)")
_OF_ANY = re.compile(r"d\((?P<top>[^()]+)\)/d\((?P<bottom>[^()]+)\)")
_PREACTIVATION = re.compile(r"z(?P<rest>\d*(_[A-Za-z0-9,]+)?)")


def name_box(name: str, convention: Convention) -> Box:
    """The box of a name under a convention."""
    pair = _OF_ANY.fullmatch(name)
    if pair is not None:
        return derivative(name_box(pair["top"], convention), name_box(pair["bottom"], convention), convention)
    pair = _OF_LOSS.fullmatch(name)
    if pair is None:
        return _quantity(name, convention)
    z = _PREACTIVATION.fullmatch(pair["bottom"])
    if z is not None and convention.delta:
        return _quantity("delta" + z["rest"], convention)
    return derivative(name_box(pair["top"], convention), name_box(pair["bottom"], convention), convention)


def derivative(top: Box, bottom: Box, convention: Convention) -> Fraction:
    """The derivative of one quantity by another as a fraction."""
    d = Identifier("∂" if convention.derivative == "partial" else "d")
    return Fraction(row(d, top), row(d, bottom))


def _quantity(name: str, convention: Convention) -> Box:
    parts = _NAME.fullmatch(name)
    base = _letter(parts["base"]) if parts is not None else None
    if parts is None or base is None:
        return _differential(name, convention) or Identifier(name)
    number, index = parts["number"], _index(parts["index"]) if parts["index"] else None
    if number is None:
        return base if index is None else Scripts(base, sub=index)
    if isinstance(base, Identifier) and base.text in LAYERED:
        return _with_layer(base, number, index, convention)
    sub = Numeral(number)
    return Scripts(base, sub=sub if index is None else separated([sub, index]))


def _differential(name: str, convention: Convention) -> Box | None:
    """dW2: the differential of a quantity that is a letter."""
    if len(name) < 2 or name[0] != "d":
        return None
    of = _quantity(name[1:], convention)
    return None if of == Identifier(name[1:]) and len(name) > 2 and name != "dell" else row(Identifier("d"), of)


def _letter(base: str) -> Box | None:
    """A letter, Greek or with a hat, or None for a word."""
    if len(base) == 1 or base in GREEK:
        return Identifier(GREEK.get(base, base))
    letter = _letter(base.removesuffix("hat")) if base.endswith("hat") and base != "hat" else None
    return None if letter is None else Hat(letter)


def _with_layer(base: Box, number: str, index: Box | None, convention: Convention) -> Box:
    layer = Numeral(number)
    if convention.layer == "subscript":
        return Scripts(base, sub=layer if index is None else separated([layer, index]))
    return Scripts(base, sub=index, sup=Fenced(layer) if convention.layer == "parentheses" else layer)


def _index(text: str) -> Box:
    """What stands below: 24 are digits, jk are two indices, true is a word."""
    parts = [part for part in text.split(",") if part]
    if len(parts) > 1:
        return separated([_index(part) for part in parts])
    if text.isdigit():
        return Numeral(text)
    if set(text) <= INDICES:
        return row(*[Identifier(letter) for letter in text])
    return Identifier(text.replace(",", ""))
