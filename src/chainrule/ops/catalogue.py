"""CATALOGUE: every operator by name, after all declarations have been read."""

from chainrule.ops import (
    activation,
    arithmetic,
    attention,
    contraction,
    convolution,
    loss,
    movement,
    normalisation,
    pooling,
    random,
    recurrent,
    reduction,
    selection,
    update,
)
from chainrule.ops.kinds import CATALOGUE

FAMILIES = (
    arithmetic, activation, reduction, contraction, movement, selection, loss, convolution, pooling, normalisation,
    recurrent, attention, random, update,
)  # fmt: skip
"""The modules of declarations, in the order of reading."""

__all__ = ["CATALOGUE", "FAMILIES"]
