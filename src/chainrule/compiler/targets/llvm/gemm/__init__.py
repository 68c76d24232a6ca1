"""Matrix products as vector code: `plan` chooses the loops, a phase writes them, the caller's epilogue stores C.

product   what is given and what is called back      plan      the candidates, their prices, the choice
outer     the kernel with lanes along C's rows       dot       the kernel with lanes along k
packing   copies of operands in panels               blocks    the loops around a kernel, in units for threads
parts     an axis cut into even parts                lanes     ends of rows, transposes and sums in registers

chosen = plan(Product(32, 128, 784, Strides(784, 1), Strides(1, 784), Strides(128, 1), F32), machine)
for phase in chosen.phases:
    phase.write(f, a, b, scratch, begin, end, epilogue, ahead)
"""

from chainrule.compiler.targets.llvm.gemm.plan import plan
from chainrule.compiler.targets.llvm.gemm.product import Ahead, Epilogue, Machine, Phase, Plan, Product, Strides

__all__ = ["Ahead", "Epilogue", "Machine", "Phase", "Plan", "Product", "Strides", "plan"]
