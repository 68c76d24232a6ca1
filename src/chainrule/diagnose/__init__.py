"""Why gradients vanish or explode here.

`gradients` measures, `preflight` predicts before training, `watch` looks on during it; `torch_gradients` measures a
PyTorch module.
"""

from chainrule.diagnose.diagnosis import Diagnosis, ParameterStatistics, gradients
from chainrule.diagnose.findings import Finding
from chainrule.diagnose.foreign import torch_gradients
from chainrule.diagnose.ledger import CAUSES, End, Ledger, Row
from chainrule.diagnose.preflight import Prediction, Preflight, preflight
from chainrule.diagnose.watch import Event, Watch, watch

__all__ = [
    "CAUSES",
    "Diagnosis",
    "End",
    "Event",
    "Finding",
    "Ledger",
    "ParameterStatistics",
    "Prediction",
    "Preflight",
    "Row",
    "Watch",
    "gradients",
    "preflight",
    "torch_gradients",
    "watch",
]
