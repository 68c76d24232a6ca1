"""What the signs of a derivation mean, said once before it starts: delta, the elementwise product, diag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace

from chainrule.explain.run import Run
from chainrule.explain.step import Section, Step
from chainrule.notation.boxes import Box, Operator, Word
from chainrule.notation.names import name_box
from chainrule.notation.prose import Prose
from chainrule.notation.typeset import ODOT, is_left_out
from chainrule.notation.words import Words

DIAGONAL = Word("diag")


def legend(run: Run, sections: Sequence[Section], said: Words) -> Prose:
    """Sentences for the signs that occur, each after a gap; nothing where every sign is read in school."""
    steps = [step for section in sections for step in section.steps]
    found: list[Prose] = []
    delta = next((step.symbol for step in steps if _is_delta(step, run)), None)
    if delta is not None:
        written_out = replace(run.convention, delta=False)
        found.append(said.short_for(name_box(delta, run.convention), name_box(delta, written_out)))
    signs = {part for step in steps for box in step.rights for part in _parts(box) if part in (ODOT, DIAGONAL)}
    if ODOT in signs:
        found.append(said.elementwise_sign(Operator(ODOT.text, "mark")))
    if DIAGONAL in signs:
        found.append(said.diagonal_sign(DIAGONAL))
    left_out = (part for step in steps for box in step.rights for part in _parts(box) if is_left_out(part))
    if (dots := next(left_out, None)) is not None:
        found.append(said.left_out_terms(dots))
    return tuple([part for sentence in found for part in (said.gap, *sentence)])


def _is_delta(step: Step, run: Run) -> bool:
    """True for a step about dL/dz that the convention writes as delta."""
    return run.convention.delta and run.is_rate(step.symbol) and run.of(step.symbol).startswith("z")


def _parts(box: Box) -> Iterator[Box]:
    """A box and all that it is made of."""
    stack: list[object] = [box]
    while stack:
        one = stack.pop()
        if isinstance(one, tuple):
            stack += one
        elif isinstance(one, Box):
            yield one
            stack += [getattr(one, field.name) for field in fields(one)]
