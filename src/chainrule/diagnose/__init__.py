"""Why gradients vanish or explode here.

`gradients` measures, `remedies` tries what mends it, `preflight` predicts before training, `watch` looks on during it;
`torch_gradients` measures a PyTorch module.
"""

from chainrule.diagnose.diagnosis import Diagnosis, ParameterStatistics, gradients
from chainrule.diagnose.findings import Finding, Verdict, verdict
from chainrule.diagnose.foreign import torch_gradients
from chainrule.diagnose.ledger import CAUSES, End, Ledger, Row
from chainrule.diagnose.preflight import Prediction, Preflight, preflight
from chainrule.diagnose.remedies import Measured, Trial, Trials, remedies
from chainrule.diagnose.watch import Event, Watch, watch

__all__ = [
    "CAUSES",
    "Diagnosis",
    "End",
    "Event",
    "Finding",
    "Ledger",
    "Measured",
    "ParameterStatistics",
    "Prediction",
    "Preflight",
    "Row",
    "Trial",
    "Trials",
    "Verdict",
    "Watch",
    "gradients",
    "preflight",
    "remedies",
    "torch_gradients",
    "verdict",
    "watch",
]
