"""Matrix products as vector code: `plan` chooses the loops, a phase writes them, the caller's epilogue stores C."""

from chainrule.compiler.targets.llvm.gemm.plan import plan
from chainrule.compiler.targets.llvm.gemm.product import Epilogue, Machine, Phase, Plan, Product, Strides

__all__ = ["Epilogue", "Machine", "Phase", "Plan", "Product", "Strides", "plan"]
