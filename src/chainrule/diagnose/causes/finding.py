"""Finding: one cause, and what speaks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """One cause, and what speaks for it.

    Args:
        cause: what it is: "vanishing", "exploding", "saturated", "dead units", "non-finite", ...
        mechanism: how it comes about, on which the mend depends: "activation cap", "small weights", ...
        where: the layer or parameter: "net.3".
        share: how much of the total log gain it explains, in [0, 1]; None where no gain is explained by it.
        evidence: the numbers, by name.
        margin: how far the evidence is beyond the threshold, in natural logarithms: 0 at it, log 10 ten times beyond;
            None for what is simply so (a parameter without a gradient), with no threshold to pass.
        confidence: the probability that the cause is the right one, in [0, 1]: see `causes/confidence.py`.
    """

    cause: str
    mechanism: str
    where: str
    share: float | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)
    margin: float | None = None
    confidence: float = 1.0
