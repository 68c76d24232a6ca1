"""The network as a picture: quantities and modules in columns by depth, joined where one is computed from another.

Nodes and edges are links to the panels of the page (`#q-...`, `#m-...`, `#e-...`) that say what they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TypeAlias

from chainrule.explain.modules import ByModules
from chainrule.explain.run import Run
from chainrule.notation.mathml import mathml
from chainrule.notation.names import name_box
from chainrule.notation.plain import cells, plain
from chainrule.report.markup import Markup, element, text
from chainrule.symbolic.expression import symbols
from chainrule.symbolic.modules import ModuleCall

WIDTH, HEIGHT, ACROSS, DOWN, MARGIN, LETTERS = 74.0, 34.0, 112.0, 58.0, 12, 18.0
"""In pixels: the sides of a node, from one column and one row to the next, around the picture, the size of letters."""

MOST = 48
"""So many nodes are drawn: of a larger network the modules, closed; of more than those the first and the last ones."""


@dataclass(frozen=True)
class Drawn:
    """What the picture shows: quantities, edges as (name, user), and calls of modules, closed.

    `nodes` are the quantities that have a panel: those that are drawn, and those that come out of closed modules.
    """

    svg: Markup
    nodes: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]
    calls: tuple[ModuleCall, ...] = ()


Spot: TypeAlias = "str | ModuleCall"
"""What is drawn as a node: a quantity, or a module with all that it computes."""


def drawing(run: Run, label: str) -> Drawn:
    """The picture of a run's program, modules closed where it has too many quantities."""
    names = [name for name in run.program.symbols if name in run.program.reaching]
    at = _spots(run, names)
    spots = list(dict.fromkeys(at.values()))
    if len(spots) > MOST:
        spots = [*spots[: MOST // 2], *spots[-MOST // 2 :]]
    flows: dict[tuple[Spot, Spot], str] = {}
    for statement in run.program.statements:
        for name in symbols(statement.formula) if statement.name in at else ():
            ends = at[name], at[statement.name]
            if ends[0] != ends[1] and ends[0] in spots and ends[1] in spots:
                flows.setdefault(ends, name)
    places = _places(spots, flows)
    width = ACROSS * max(x for x, _ in places.values()) + WIDTH + 2 * MARGIN
    height = DOWN * max(y for _, y in places.values()) + HEIGHT + 2 * MARGIN
    parts = [_edge(ends, name, places, run) for ends, name in flows.items()]
    calls = [spot for spot in spots if isinstance(spot, ModuleCall)]
    parts += [
        _node(spot, places[spot], run, f"q-{spot}" if isinstance(spot, str) else module_id(calls.index(spot)))
        for spot in spots
    ]
    svg = element(
        "svg", *parts, viewBox=f"0 0 {width:.0f} {height:.0f}", role="group", aria_label=label,
        style=f"min-width:{min(width, 1400):.0f}px;max-width:{1.5 * width:.0f}px", class_="network",
    )  # fmt: skip
    nodes = dict.fromkeys([*[spot for spot in spots if isinstance(spot, str)], *flows.values()])
    edges = [(a, b) for a, b in flows if isinstance(a, str) and isinstance(b, str)]
    return Drawn(svg, tuple(nodes), tuple(edges), tuple(calls))


def _spots(run: Run, names: list[str]) -> dict[str, Spot]:
    """Where each quantity is drawn: as itself, or inside of a module. As many modules are open as there is room for."""
    modules = ByModules(run)
    around = {name: modules.around(name) for name in names}
    at: dict[str, Spot] = {}
    for depth in range(max(map(len, around.values()), default=0), -1, -1):
        at = {name: calls[depth] if depth < len(calls) else name for name, calls in around.items()}
        if len(set(at.values())) <= MOST:
            break
    return at


def module_id(number: int) -> str:
    """The name of the panel of a drawn module."""
    return f"m-{number}"


def _places(spots: list[Spot], flows: Iterable[tuple[Spot, Spot]]) -> dict[Spot, tuple[int, int]]:
    """Column and row of each node: what is computed on top, what is given below it."""
    readers: dict[Spot, list[Spot]] = {spot: [] for spot in spots}
    read: dict[Spot, list[Spot]] = {}
    for a, b in flows:
        readers[a].append(b)
        read.setdefault(b, []).append(a)
    depth: dict[Spot, int] = {}
    for spot in TopologicalSorter({spot: read.get(spot, ()) for spot in spots}).static_order():
        depth[spot] = 1 + max([depth[a] for a in read.get(spot, [])], default=-1)
    for spot in spots:  # what is given stands beside what reads it first
        if spot not in read and readers[spot]:
            depth[spot] = max(min(depth[b] for b in readers[spot]) - 1, 0)
    rows: dict[int, int] = {}
    found: dict[Spot, tuple[int, int]] = {}
    for spot in sorted(spots, key=lambda s: s not in read):
        column = depth[spot]
        first = 0 if spot in read or column == 0 else 1
        row = max(rows.get(column, 0), first)
        rows[column] = row + 1
        found[spot] = (column, row)
    return found


def _node(spot: Spot, place: tuple[int, int], run: Run, panel: str) -> Markup:
    x, y = MARGIN + place[0] * ACROSS, MARGIN + place[1] * DOWN
    if isinstance(spot, ModuleCall):
        wanted = any(spot in run.around_rate(name) for name in run.targets)
        kind, title, inside = f"module{' target' * wanted}", spot.path, text(spot.path)
    else:
        kind = "target" if spot in run.targets else "given" if spot in run.givens else "computed"
        box = name_box(spot, run.convention)
        title, inside = plain(box), Markup(mathml(box))  # MathML, so that names look as they do in the formulas
    fitting = 1.8 * WIDTH / max(cells(title), 1)  # a letter is about half as wide as it is high
    size = max(min(LETTERS, fitting), LETTERS / 2)
    label = element("div", inside, class_="label", xmlns="http://www.w3.org/1999/xhtml", style=f"--size:{size:.0f}px")
    return element(
        "a",
        element("rect", x=x, y=y, width=WIDTH, height=HEIGHT, rx=8 if kind == "computed" else 3),
        element("foreignObject", label, x=x, y=y, width=WIDTH, height=HEIGHT),
        href=f"#{panel}", class_=f"node {kind}", aria_label=title,
    )  # fmt: skip


def _edge(ends: tuple[Spot, Spot], name: str, places: dict[Spot, tuple[int, int]], run: Run) -> Markup:
    """A line to the panel that says what goes along it; into and out of a module that is the quantity itself."""
    (ax, ay), (bx, by) = (places[spot] for spot in ends)
    x0, y0 = MARGIN + ax * ACROSS + WIDTH, MARGIN + ay * DOWN + HEIGHT / 2
    x1, y1 = MARGIN + bx * ACROSS, MARGIN + by * DOWN + HEIGHT / 2
    middle = (x0 + x1) / 2
    path = f"M{x0:.0f} {y0:.0f}C{middle:.0f} {y0:.0f} {middle:.0f} {y1:.0f} {x1:.0f} {y1:.0f}"
    on_path = " path" if name in run.on_path else ""
    line = element("path", d=path, fill="none")
    wide = element("path", d=path, fill="none", class_="hit")
    names = " → ".join([plain(name_box(x, run.convention)) if isinstance(x, str) else x.path for x in ends])
    between_two = isinstance(ends[0], str) and isinstance(ends[1], str)
    panel = f"e-{ends[0]}-{ends[1]}" if between_two else f"q-{name}"
    return element("a", line, wide, href=f"#{panel}", class_=f"edge{on_path}", aria_label=names)
