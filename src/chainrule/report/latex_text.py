"""Running text as LaTeX has it: what LaTeX reads as a command is escaped, mathematics stands between dollar signs."""

from __future__ import annotations

import re

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
"""What amsmath calls these characters in a formula; the exclusive or is of amssymb."""

SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵀ", "0123456789+-=()niT", strict=True))
SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", "0123456789+-=()aehijklmnoprstuvx", strict=True))

_ESCAPES = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "–": "--", "…": r"\dots{}", "‖": r"$\|$",
    **{c: "\\" + c for c in "{}$&#_%"},
    **{c: f"${command}$" for c, command in SIGNS.items()},
}  # fmt: skip
_SCRIPTS = "".join(SUPERSCRIPTS) + "".join(SUBSCRIPTS)
_BESIDE = r"(?:[A-Za-z0-9()/+=′−×]|\.(?=\d))"  # what belongs to a formula when it touches one
_FORMULA = re.compile(rf"({_BESIDE}*[{''.join(LETTERS)}{_SCRIPTS}](?:{_BESIDE}|[{''.join(LETTERS)}{_SCRIPTS}])*)")
_PIECE = re.compile(
    rf"(?P<up>[{''.join(SUPERSCRIPTS)}]+)|(?P<down>[{''.join(SUBSCRIPTS)}]+)|(?P<word>[A-Za-z]{{2,}})|."
)


def escaped(text: str) -> str:
    r"""Plain text for LaTeX outside of formulas; other scripts, such as Chinese, stay as they are.

    Example:
        >>> escaped("100% of ∂L/∂W₂")
        '100\\% of $\\partial L/\\partial W_{2}$'
    """
    parts = _FORMULA.split(text)  # text and formulas in turn
    return "".join([f"${_formula(part)}$" if i % 2 else _words(part) for i, part in enumerate(parts)])


def _words(text: str) -> str:
    return "".join([_ESCAPES.get(c, c) for c in text])


def _formula(text: str) -> str:
    written = ""
    for piece in _PIECE.finditer(text):
        found = piece.group()
        if piece["up"] or piece["down"]:
            alphabet, mark = (SUPERSCRIPTS, "^") if piece["up"] else (SUBSCRIPTS, "_")
            written += f"{mark}{{{''.join([alphabet[c] for c in found])}}}"
            continue
        if piece["word"]:
            found = rf"\mathrm{{{found}}}"
        elif found == "′":
            found = "'"
        else:
            found = LETTERS.get(found, SIGNS.get(found, found))
        ends_a_command = re.search(r"\\[A-Za-z]+$", written) is not None and found[0].isalnum()
        written += f" {found}" if ends_a_command else found
    return written
