"""Why gradients vanish or explode here: `gradients` measures, `preflight` predicts before training."""

from chainrule.diagnose.diagnosis import Diagnosis, ParameterStatistics, gradients
from chainrule.diagnose.findings import Finding
from chainrule.diagnose.ledger import CAUSES, End, Ledger, Row
from chainrule.diagnose.preflight import Prediction, Preflight, preflight

__all__ = [
    "CAUSES",
    "Diagnosis",
    "End",
    "Finding",
    "Ledger",
    "ParameterStatistics",
    "Prediction",
    "Preflight",
    "Row",
    "gradients",
    "preflight",
]
