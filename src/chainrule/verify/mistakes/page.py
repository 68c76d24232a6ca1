"""The catalogue as a page: `python -m chainrule.verify.mistakes.page` prints docs/mistakes.md."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.verify.mistakes.catalogue import MISTAKES, Mistake

HEAD = """\
# The mistakes that verify knows by name

`cr.verify.derivation` mutates the right derivation by each of these, at every step and every factor, and mends the \
claim's own formula by taking each of them back; two at once are found where both come to the same. A mistake is \
named if it gives the claimed values on the data, on every redraw, and where numbers have other signs, to 1e-9 of the \
largest element. Where two give the same formula both are named, the likelier first. Where none fits, nothing is \
named, and the report shows the pattern of the error.

Each example below is a derivation file with one wrong claim; a test runs them all. `python -m \
chainrule.verify.mistakes.page` writes this page from `src/chainrule/verify/mistakes/catalogue.py`.

"""


def page() -> str:
    """The whole page, in Markdown."""
    return HEAD + "\n".join(line for mistake in MISTAKES for line in _section(mistake)).rstrip() + "\n"


def _section(mistake: Mistake) -> Iterator[str]:
    yield f"## {mistake.name}"
    yield ""
    yield f"{mistake.titled.zh}。 {mistake.summary('en')} {mistake.summary('zh')}"
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| wrong | `{mistake.wrong}` |"
    yield f"| right | `{mistake.right}` |"
    yield f"| claimed / right | {mistake.ratio.en} |"
    yield f"| mend | {mistake.mend('en')} {mistake.mend('zh')} |"
    yield ""
    yield "```"
    yield mistake.example.rstrip()
    yield "```"
    yield ""


if __name__ == "__main__":
    print(page(), end="")
