"""Which file writes the kernels of which kind of group."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from chainrule.compiler.fuse import Group
from chainrule.compiler.ir import Value
from chainrule.compiler.targets.llvm.kernels.columns import write_columns
from chainrule.compiler.targets.llvm.kernels.convolutions import write_convolution
from chainrule.compiler.targets.llvm.kernels.copies import write_copy
from chainrule.compiler.targets.llvm.kernels.maps import write_map
from chainrule.compiler.targets.llvm.kernels.pieces import write_pieces
from chainrule.compiler.targets.llvm.kernels.pools import write_pool
from chainrule.compiler.targets.llvm.kernels.products import write_gemm
from chainrule.compiler.targets.llvm.kernels.puts import write_puts
from chainrule.compiler.targets.llvm.kernels.rows import write_rows
from chainrule.compiler.targets.llvm.kernels.scans import write_scans
from chainrule.compiler.targets.llvm.kernels.sorts import write_sorts
from chainrule.compiler.targets.llvm.kernels.writer import Kernel
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.views import View

WRITERS: dict[str, Callable[[Group, dict[Value, View], Machine], list[Kernel]]] = {
    "map": write_map, "rows": write_rows, "columns": write_columns, "gemm": write_gemm, "copy": write_copy,
    "pieces": write_pieces, "convolution": write_convolution, "pool": write_pool, "puts": write_puts,
    "scans": write_scans, "sorts": write_sorts,
}  # fmt: skip


def kernels_of(group: Group, views: dict[Value, View], machine: Machine) -> list[Kernel]:
    """The kernels of a group, to be run one after the other; none if it makes no element."""
    if not any(prod(y.shape) for y in group.stored):
        return []
    return WRITERS[group.kind](group, views, machine)
