"""Numbers that are not finite: where the first of them was made, with the operator and the user's line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainrule.diagnose.causes.finding import Finding

if TYPE_CHECKING:
    from chainrule.diagnose.diagnosis import Diagnosis


def find(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """One finding for the first batch in which something is not finite."""
    found = [(k, origin) for k, origin in enumerate(diagnosis.origins) if origin is not None]
    if not found:
        return ()
    k, origin = found[0]
    mechanism = {
        "inputs": "in the data",
        "parameters": "in a parameter",
        "forward": f"made forward by {origin.op}",
        "backward": f"made backward by {origin.op}",
    }[origin.phase]
    where = ", ".join(filter(None, (origin.path, origin.where)))
    return (Finding("non-finite", mechanism, where, None, {"batch": float(k), "batches": float(len(found))}),)
