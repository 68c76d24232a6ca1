"""Kernels: each group of the fused program as functions `void kernel(ptr pointers, i64 begin, i64 end)`.

`pointers` is an array with the address of every value that the group reads or stores; begin and end are units of
work (rows, blocks of columns, tiles): any split of 0..units gives the same bits. A kernel's text does not say whose
memory it works on, so equal layers share one.

writers   which file writes which kind of group      writer      what all of them share
maps      elementwise work over one shape            copies      elements moved to other places
rows      reductions over the last axis              columns     reductions over other axes
products  matrix products with their epilogues       pieces      what is put together from parts
reductions  partial results in vectors
convolutions  conv2d and its transposes      pools     poolings and their gradients
"""

from chainrule.compiler.targets.llvm.kernels.writer import NAME, Kernel, worked_on
from chainrule.compiler.targets.llvm.kernels.writers import kernels_of

__all__ = ["NAME", "Kernel", "kernels_of", "worked_on"]
