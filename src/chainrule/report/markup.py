"""Elements of HTML and SVG, escaped by construction: only `text` and `element` make `Markup`."""

from __future__ import annotations

from html import escape
from typing import NewType

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


def coordinate(value: float) -> str:
    """A length in the page, to a tenth of a unit, without an idle `.0`."""
    return f"{value:.1f}".removesuffix(".0")


def _attribute(value: str | float) -> str:
    return text(value) if isinstance(value, str) else coordinate(value)
