"""Notation: the graph that a text shows, as `print(graph)` writes it.

    graph step(
        %1: float32[2, 3] argument
        %2: float32[] constant = 0.5
    ) {
        %3: float32[2, 3] = mul(%1, %2)  # step, train.py:12
        return %3
    }
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.compiler.ir import Graph, Instruction, Value
from chainrule.errors import ArgumentError, ChainruleError
from chainrule.ops.catalogue import CATALOGUE
from chainrule.shapes import Shape
from chainrule.tensor.arrays import numpy_dtype

TYPED = re.compile(r"%([\w.]+): (\w+)\[([\d, ]*)\]")
INPUT = re.compile(rf"{TYPED.pattern} (\w+)(?: = (.*))?")
CALL = re.compile(rf"((?:{TYPED.pattern})(?:, {TYPED.pattern})*) = (\w+)\((.*?)\)(?:  # (.*))?")
NAMES = {"inf": float("inf"), "nan": float("nan"), "slice": slice, "Ellipsis": ...}


def parse(text: str) -> Graph:
    """The graph that `str(graph)` wrote; of constants that it wrote without elements, only the input."""
