"""Elements of HTML and SVG, escaped by construction: only `text`, `element` and `checked_mathml` make `Markup`."""

from __future__ import annotations

from html import escape
from typing import NewType

from chainrule.errors import ArgumentError
from chainrule.report.values import printable

Markup = NewType("Markup", str)


def text(plain: str) -> Markup:
    """Plain text as markup."""
    return Markup(escape(printable(plain)))


def element(tag: str, *children: Markup, **attributes: str | float) -> Markup:
    """One element. `class_` becomes `class`, `stroke_width` `stroke-width`; numbers keep one decimal."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_attribute(value)}"' for name, value in attributes.items()
    )
    return Markup(f"<{tag}{written}>{''.join(children)}</{tag}>")


MATHML = "http://www.w3.org/1998/Math/MathML"
MATHML_TAGS = frozenset(
    ("math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup",
     "munder", "mover", "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded", "mphantom")
)  # fmt: skip
MATHML_ATTRIBUTES = frozenset(
    ("xmlns", "display", "displaystyle", "mathvariant", "form", "fence", "separator", "stretchy", "lspace", "rspace",
     "accent", "largeop", "movablelimits", "scriptlevel", "width", "height", "depth", "linethickness", "style")
)  # fmt: skip


def checked_mathml(formula: str) -> Markup:
    """A formula that was written elsewhere, once it is known to hold nothing but MathML.

    Raises:
        ArgumentError: for what is not one well-formed `<math>` element of elements that only set formulas.
    """
    from xml.etree import ElementTree  # 4 ms that pages without formulas need not wait for

    try:
        if "<!" in formula or "<?" in formula:
            raise ElementTree.ParseError("a formula has no declarations and no comments")
        root = ElementTree.fromstring(formula)
    except ElementTree.ParseError as error:
        raise ArgumentError(f"MathML that is not well-formed: {error}", got=[formula[:200]]) from error
    strange = [e.tag for e in root.iter() if e.tag.removeprefix(f"{{{MATHML}}}") not in MATHML_TAGS]
    strange += [name for e in root.iter() for name in e.attrib if name not in MATHML_ATTRIBUTES]
    if strange or not root.tag.endswith("math") or "url(" in formula:
        raise ArgumentError("MathML with more than formulas in it", got=[", ".join(strange[:5]) or formula[:200]])
    return Markup(formula)


def coordinate(value: float) -> str:
    """A length in the page, to a tenth of a unit, without an idle `.0`."""
    return f"{value:.1f}".removesuffix(".0")


def _attribute(value: str | float) -> str:
    return text(value) if isinstance(value, str) else coordinate(value)
