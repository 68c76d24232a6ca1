"""An explanation as one HTML file that needs nothing else: the network to click on, and the steps below it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.explain.documents import flows, table
from chainrule.explain.drawing import Drawn, drawing, module_id
from chainrule.explain.heat import drawn_once, heat_map, scale, squares
from chainrule.explain.modules import ByModules
from chainrule.explain.step import (
    CallSteps,
    EqualCalls,
    Fold,
    Item,
    Section,
    Step,
    all_steps,
    chain_of,
    shape_text,
)
from chainrule.notation.blocks import text_of
from chainrule.notation.boxes import Box, in_line
from chainrule.notation.conventions import Convention
from chainrule.notation.mathml import mathml
from chainrule.notation.matrices import LARGEST
from chainrule.notation.numbers import number_box, shown
from chainrule.notation.plain import plain
from chainrule.notation.prose import Prose
from chainrule.notation.typeset import typeset, value_box
from chainrule.notation.words import Words, words
from chainrule.report.markup import Markup, element, text
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.modules import ModuleCall

if TYPE_CHECKING:
    from chainrule.explain.explanation import Explanation
    from chainrule.explain.run import Run

PAGE = """\
<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main class="explanation">
{body}
</main>
</body>
</html>
"""

OTHERS = 200
"""So many steps of modules that are equal to a shown one are written out as well: a page has a size to keep."""

STAYS = tuple(",.;:)，。；：、）")
"""Signs that stay on the line of the formula before them."""

FONT = "@font-face{{font-family:'STIX Two Math Embedded';src:url(data:font/woff2;base64,{font}) format('woff2')}}\n"


def page(explanation: Explanation) -> str:
    """The whole page."""
    return PAGE.format(
        language=explanation.language,
        title=text(text_of(explanation.title)),
        style=_style(),
        body=_body(explanation),
    )


def fragment(explanation: Explanation) -> str:
    """The derivation for a notebook, which has a page and a style of its own."""
    style = files("chainrule.explain").joinpath("notebook.css").read_text("utf-8")
    return f"<style>{style}</style><div class='chainrule-explanation'>{_steps(explanation)}</div>"


@cache
def _style() -> str:
    font = files("chainrule.report").joinpath("fonts/stix-two-math.woff2").read_bytes()
    report = files("chainrule.report").joinpath("style.css").read_text("utf-8")
    own = files("chainrule.explain").joinpath("page.css").read_text("utf-8")
    return FONT.format(font=b64encode(font).decode("ascii")) + report + own


def _body(explanation: Explanation) -> str:
    said = words(explanation.language)
    header = element("header", element("h1", _heading(explanation.title)), element("p", prose(explanation.note)))
    parts = [header]
    if explanation.run is not None:
        drawn = drawing(explanation.run, said.labels.network)
        parts.append(_network(drawn, explanation.run, said))
    parts.append(_steps(explanation))
    return drawn_once("\n".join(parts))


# ---- the network -------------------------------------------------------------------------------------------------


def _network(drawn: Drawn, run: Run, said: Words) -> Markup:
    panels = [_quantity(name, run, said) for name in drawn.nodes]
    panels += [_route(name, user, run, said) for name, user in drawn.edges if name in run.on_path]
    panels += [_reading(name, user, run, said) for name, user in drawn.edges if name not in run.on_path]
    modules = ByModules(run)
    panels += [_module(modules, call, module_id(number), said) for number, call in enumerate(drawn.calls)]
    picture = element(
        "div", drawn.svg, class_="scroll picture", tabindex="0", role="region", aria_label=said.labels.network
    )
    says = element("p", prose(said.reads_network()), class_="picture-says")
    return element("section", picture, says, element("div", *panels, class_="panels"), class_="graph")


def _quantity(name: str, run: Run, said: Words) -> Markup:
    """What a node is: its formula, value and gradient."""
    symbol = run.program.symbols[name]
    statement = next((s for s in run.program.statements if s.name == name), None)
    called = f" ({run.called[name]})" if name in run.called else ""
    rows = []
    if statement is not None:
        rows.append((text(said.labels.formula), formula(typeset(run.written(statement.formula), run.convention))))
    rows.append((text(said.labels.value), _value(run.shown[name], run.convention, said, name)))
    if name in run.on_path and name != run.program.loss:
        rate = run.rate(name)
        right = typeset(run.step(name), run.convention)
        rows.append((formula(typeset(rate, run.convention)), formula(right)))
        rows.append((text(said.labels.value), _value(run.shown[rate.name], run.convention, said, rate.name)))
    title = element("h3", formula(typeset(symbol, run.convention)), text(called + "  " + shape_text(symbol.shape)))
    return _panel(f"q-{name}", title, rows, said)


def _module(modules: ByModules, call: ModuleCall, identity: str, said: Words) -> Markup:
    """What a closed module takes and gives, forward and back."""
    ways = ((said.labels.forward, modules.forward(call)), (said.labels.backward, modules.backward(call)))
    rows = [(text(title), prose(flows(*through, said))) for title, through in ways]
    return _panel(identity, element("h3", text(f"{call.path} ({call.kind})")), rows, said)


def _route(name: str, user: str, run: Run, said: Words) -> Markup:
    """What an edge carries back: the part of the derivative that comes through one reader."""
    route = run.derivation.routes(name).get(user)
    rows: list[tuple[Markup, Markup]] = []
    if route is not None:
        left, right = (typeset(x, run.convention) for x in (run.rate(name), run.written(route)))
        share = _value(evaluate(route, run.shown), run.convention, said, f"{name} → {user}")
        rows = [(formula(left), formula(right)), (text(said.labels.contribution), share)]
    return _panel(f"e-{name}-{user}", _edge_title(name, user, run), rows, said)


def _reading(name: str, user: str, run: Run, said: Words) -> Markup:
    """An edge that no wanted gradient goes back along: what reads the value."""
    statement = next(s for s in run.program.statements if s.name == user)
    left, right = (typeset(x, run.convention) for x in (statement.symbol, run.written(statement.formula)))
    return _panel(f"e-{name}-{user}", _edge_title(name, user, run), [(formula(left), formula(right))], said)


def _edge_title(name: str, user: str, run: Run) -> Markup:
    start, end = (formula(typeset(run.program.symbols[n], run.convention)) for n in (name, user))
    return element("h3", start, text(" → "), end)


def _panel(identity: str, title: Markup, rows: list[tuple[Markup, Markup]], said: Words) -> Markup:
    lines = [part for name, value in rows for part in (element("dt", name), element("dd", value))]
    close = element("a", text("×"), href="#", class_="close", aria_label=said.labels.close)
    return element("div", close, title, element("dl", *lines), id=identity, class_="panel")


def _value(value: Any, convention: Convention, said: Words, label: str) -> Markup:
    box = formula(value_box(value, convention))
    return box if max(np.shape(value), default=0) <= LARGEST else Markup(box + _picture(value, convention, said, label))


def _picture(value: Any, convention: Convention, said: Words, label: str) -> Markup:
    array = np.asarray(value, np.float64)
    made = squares(array)
    low, high, norm = (_number(float(x), convention) for x in (array.min(), array.max(), np.linalg.norm(array)))
    facts = [text(f"{said.labels.norm} {norm}, {low} … {high}")]
    if made.block != (1, 1):
        facts.append(prose(said.means_of_blocks(shape_text(made.block))))
    ends = [element("span", text(_number(end, convention))) for end in (-made.top, made.top)]
    legend = element("span", ends[0], scale(), ends[1], class_="scale")
    caption = element("div", *[element("div", fact) for fact in facts], legend, class_="range")
    return element("div", heat_map(made, label), caption, class_="large")


def _number(value: float, convention: Convention) -> str:
    """A number in running text."""
    return plain(number_box(shown(value, convention)))


# ---- the steps ---------------------------------------------------------------------------------------------------


def _steps(explanation: Explanation) -> Markup:
    said = words(explanation.language)
    parts: list[Markup] = []
    if explanation.names:
        rows = [
            element(
                "tr",
                element("td", formula(n.box)),
                element("td", text(n.called)),
                element("td", text(shape_text(n.shape))),
            )
            for n in explanation.names
        ]
        summary = element("summary", text(said.labels.names))
        parts.append(element("details", summary, element("table", element("tbody", *rows)), class_="names"))
    parts += [_section(section, explanation, said) for section in explanation.sections]
    return Markup("\n".join(parts))


def _section(section: Section, explanation: Explanation, said: Words) -> Markup:
    inside = [_item(item, explanation, said) for item in section.items]
    note = [element("p", prose(section.note), class_="note")] if section.note else []
    return element("section", element("h2", text(section.title)), *inside, *note)


def _item(item: Item, explanation: Explanation, said: Words) -> Markup:
    match item:
        case Step():
            return _step(item, explanation, said)
        case Fold():
            summary = element("summary", prose(said.repeated(item.first, item.last, item.count)))
            steps = zip(item.block, item.norms, strict=True)
            short = [_in_short(one, norms, explanation, said) for one, norms in steps]
            return element("details", summary, *short, class_="fold")
        case CallSteps():
            inside = [_item(inner, explanation, said) for inner in item.items]
            return _call(item, explanation, said, inside)
        case EqualCalls():
            return _equal_calls(item, explanation, said)


def _call(call: CallSteps, explanation: Explanation, said: Words, inside: Iterable[Markup]) -> Markup:
    """A module that opens: its path, class and what goes in and out stand above."""
    path, kind = element("b", text(call.path)), element("span", text(call.kind), class_="kind")
    through = element("span", prose(flows(call.enters, call.leaves, said)), class_="flows")
    title = element("summary", path, text(" "), kind, through)
    shown = call.opened or explanation.full or any(explanation.is_wanted(one) for one in all_steps(call.items))
    return element("details", title, *inside, class_="module", **({"open": "open"} if shown else {}))


def _equal_calls(equal: EqualCalls, explanation: Explanation, said: Words) -> Markup:
    """Equal modules: a table of what goes in and out of each, the first in full, the others by their formulas."""
    head, rows = table(equal, said)
    thead = element("thead", element("tr", *[element("th", prose(cell)) for cell in head]))
    tbody = element("tbody", *[element("tr", *[element("td", prose(cell)) for cell in row]) for row in rows])
    about = element("p", prose(said.equal_calls(*equal.ends, equal.first.kind, len(equal.calls))), class_="note")
    parts = [about, element("div", element("table", thead, tbody), class_="scroll", tabindex="0")]
    parts.append(_item(equal.first, explanation, said))
    others = equal.calls[1:]
    if sum(len(call.steps) for call in others) <= OTHERS:
        for call in others:
            steps = all_steps(call.items)
            inside = [_in_short(one, [float(np.linalg.norm(one.value))], explanation, said) for one in steps]
            parts.append(_call(call, explanation, said, inside))
    else:
        parts.append(element("p", prose(said.shown_alone(others[0].path)), class_="note"))
    return element("div", *parts, class_="equal")


def _in_short(one: Step, norms: Sequence[float], explanation: Explanation, said: Words) -> Markup:
    """A step that is equal to one that is shown: its formula, and how large its values are."""
    line = element("div", formula(chain_of(one, numbers=False)), class_="line scroll", tabindex="0")
    numbers = " … ".join([_number(x, explanation.convention) for x in norms])
    return Markup(line + element("p", text(f"{said.labels.norm} {numbers}"), class_="why"))


def _step(one: Step, explanation: Explanation, said: Words) -> Markup:
    large = one.number is not None and max(one.shape, default=0) > LARGEST
    line = element("div", formula(chain_of(one)), class_="line scroll", tabindex="0")
    why = [element("p", prose(one.why), class_="why")] if one.why else []
    facts = []
    if np.size(one.value) > 1 and one.number is not None:
        facts = [element("span", text(shape_text(one.shape)), class_="shape")]
    picture = [_picture(one.value, explanation.convention, said, one.symbol)] if large else []
    return element("div", *facts, line, *picture, *why, class_="step", id=f"s-{one.symbol}")


def formula(box: Box) -> Markup:
    """A box as MathML."""
    return Markup(mathml(box))


def _heading(parts: Prose) -> Markup:
    """A title with its formulas, whose fractions have room."""
    return _running([part if isinstance(part, str) else formula(part) for part in parts])


def prose(parts: Prose) -> Markup:
    """A sentence with its formulas, whose fractions stand on one line."""
    return _running([part if isinstance(part, str) else formula(in_line(part)) for part in parts])


def _running(parts: Sequence[str | Markup]) -> Markup:
    """Text with formulas; no line begins with a comma."""
    found: list[Markup] = []
    for place, part in enumerate(parts):
        if part.startswith("<math"):
            found.append(Markup(part))
        elif place and parts[place - 1].startswith("<math") and part[:1] in STAYS:
            found[-1] = Markup(f'<span class="together">{found[-1]}{text(part[0])}</span>')
            found.append(text(part[1:]))
        else:
            found.append(text(part))
    return Markup("".join(found))
