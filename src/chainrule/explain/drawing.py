"""The network as a picture: quantities in columns by depth, joined where one is computed from another.

Nodes and edges are links to the panels of the page (`#q-...`, `#e-...`) that say what they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.explain.run import Run
from chainrule.notation.names import name_box
from chainrule.notation.plain import plain
from chainrule.report.markup import Markup, element, text
from chainrule.symbolic.expression import symbols

WIDTH, HEIGHT, ACROSS, DOWN = 74.0, 34.0, 112.0, 58.0
MOST = 48
"""So many quantities are drawn; of more, those at the beginning and at the end."""


@dataclass(frozen=True)
class Drawn:
    """Which quantities and edges the picture shows: (name) and (name, user)."""

    svg: Markup
    nodes: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]


def drawing(run: Run, label: str) -> Drawn:
    """The picture of a run's program."""
    names = [name for name in run.program.symbols if name in run.program.reaching]
    if len(names) > MOST:
        names = [*names[: MOST // 2], *names[-MOST // 2 :]]
    read = {s.name: [n for n in symbols(s.formula) if n in names] for s in run.program.statements if s.name in names}
    depth: dict[str, int] = {}
    for name in names:
        depth[name] = 1 + max([depth[n] for n in read.get(name, [])], default=-1) if read.get(name) else 0
    for name in names:  # what is given stands beside what reads it first
        users = [depth[u] for u in names if name in read.get(u, [])]
        if name not in read and users:
            depth[name] = max(min(users) - 1, 0)
    places = _places(names, depth, read)
    edges = [(name, user) for user, inputs in read.items() for name in inputs]
    width = ACROSS * max(x for x, _ in places.values()) + WIDTH + 24
    height = DOWN * max(y for _, y in places.values()) + HEIGHT + 24
    parts = [_edge(edge, places, run) for edge in edges] + [_node(name, places[name], run) for name in names]
    svg = element(
        "svg", *parts, viewBox=f"0 0 {width:.0f} {height:.0f}", role="group", aria_label=label,
        style=f"min-width:{min(width, 1400):.0f}px;max-width:{1.5 * width:.0f}px", class_="network",
    )  # fmt: skip
    return Drawn(svg, tuple(names), tuple(edges))


def _places(names: list[str], depth: dict[str, int], read: dict[str, list[str]]) -> dict[str, tuple[int, int]]:
    """Column and row of each quantity: what is computed on top, what is given below it."""
    rows: dict[int, int] = {}
    found: dict[str, tuple[int, int]] = {}
    for name in sorted(names, key=lambda n: (n not in read, names.index(n))):
        column = depth[name]
        first = 0 if name in read or column == 0 else 1
        row = max(rows.get(column, 0), first)
        rows[column] = row + 1
        found[name] = (column, row)
    return found


def _node(name: str, place: tuple[int, int], run: Run) -> Markup:
    x, y = 12 + place[0] * ACROSS, 12 + place[1] * DOWN
    kind = "target" if name in run.targets else "given" if name in run.givens else "computed"
    title = plain(name_box(name, run.convention))
    return element(
        "a",
        element("rect", x=x, y=y, width=WIDTH, height=HEIGHT, rx=8 if kind == "computed" else 3),
        element("text", text(title), x=x + WIDTH / 2, y=y + HEIGHT / 2 + 5, text_anchor="middle"),
        href=f"#q-{name}", class_=f"node {kind}", aria_label=title,
    )  # fmt: skip


def _edge(edge: tuple[str, str], places: dict[str, tuple[int, int]], run: Run) -> Markup:
    (ax, ay), (bx, by) = (places[name] for name in edge)
    x0, y0 = 12 + ax * ACROSS + WIDTH, 12 + ay * DOWN + HEIGHT / 2
    x1, y1 = 12 + bx * ACROSS, 12 + by * DOWN + HEIGHT / 2
    middle = (x0 + x1) / 2
    path = f"M{x0:.0f} {y0:.0f}C{middle:.0f} {y0:.0f} {middle:.0f} {y1:.0f} {x1:.0f} {y1:.0f}"
    on_path = " path" if edge[0] in run.on_path else ""
    line = element("path", d=path, fill="none")
    wide = element("path", d=path, fill="none", class_="hit")
    return element(
        "a", line, wide, href=f"#e-{edge[0]}-{edge[1]}", class_=f"edge{on_path}", aria_label=f"{edge[0]} → {edge[1]}"
    )
