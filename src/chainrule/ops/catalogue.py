"""CATALOGUE: every operator by name, after all declarations have been read."""

from chainrule.ops import (
    activation,
    arithmetic,
    contraction,
    loss,
    movement,
    random,
    reduction,
    selection,
    update,
)
from chainrule.ops.kinds import CATALOGUE

FAMILIES = (arithmetic, activation, reduction, contraction, movement, selection, loss, random, update)
"""The modules of declarations, in the order of reading."""

__all__ = ["CATALOGUE", "FAMILIES"]
