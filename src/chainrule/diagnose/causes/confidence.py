"""How sure a finding is: how often findings as clear as it were right on networks whose faults are known.

The counts are printed by `python benchmarks/diagnosis.py --calibrate`. Its networks are neither those on which the
thresholds were chosen nor those of which the documentation reports. Causes are counted together: they did not differ by
more than chance. Networks of another kind may do worse.
"""

from __future__ import annotations

from chainrule.diagnose.causes.finding import Finding

CLEAR = 1.0
"""The margin from which evidence is clear: e times its threshold, or simply so."""

CLEARLY, NEARLY = (724, 724), (52, 53)
"""How many findings with clear evidence, and with evidence near its threshold, were right, and of how many."""


def confidence(finding: Finding) -> float:
    """The probability that the cause is the right one, by Laplace's rule of succession: (right + 1) / (all + 2)."""
    right, of = CLEARLY if is_clear(finding) else NEARLY
    return (right + 1) / (of + 2)


def is_clear(finding: Finding) -> bool:
    """Whether the evidence is well beyond its threshold."""
    return finding.margin is None or finding.margin >= CLEAR
