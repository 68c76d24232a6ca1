"""How every gradient follows: `gradient`, `update`, `trace`, and `record`, under which all values are kept."""

from chainrule.explain.explanation import Explanation
from chainrule.explain.gradient import gradient
from chainrule.explain.step import Step
from chainrule.explain.trace import Trace, trace
from chainrule.explain.update import update
from chainrule.tensor.graph import keep_values as record

__all__ = ["Explanation", "Step", "Trace", "gradient", "record", "trace", "update"]
