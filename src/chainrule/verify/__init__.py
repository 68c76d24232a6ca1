"""Checking: derivations claim by claim, backward passes element by element, floats against high precision.

    cr.verify.derivation("homework.txt")                        # which factor of which step is wrong
    cr.verify.compare({"dL/dz2": array}, loss=loss, at={"z2": z2})
    cr.verify.gradcheck(function, inputs)                       # the engine's gradients against measured slopes
    cr.verify.backward(forward, backward, inputs)               # a hand-written pair, in any library

What is named here loads when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule.verify.claims import compare, derivation
    from chainrule.verify.findings import GradientFindings
    from chainrule.verify.gradients import gradcheck, gradgradcheck
    from chainrule.verify.pairs import backward
    from chainrule.verify.result import ClaimResult, DerivationResult

__all__ = [
    "ClaimResult",
    "DerivationResult",
    "GradientFindings",
    "backward",
    "compare",
    "derivation",
    "gradcheck",
    "gradgradcheck",
]

_HOMES = {
    "ClaimResult": "result",
    "DerivationResult": "result",
    "GradientFindings": "findings",
    "backward": "pairs",
    "compare": "claims",
    "derivation": "claims",
    "gradcheck": "gradients",
    "gradgradcheck": "gradients",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'chainrule.verify' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"chainrule.verify.{_HOMES[name]}"), name)
    return value
