"""Losses as modules. What each computes stands in `functional/losses.py` and `ops/loss.py`."""

from __future__ import annotations

from chainrule.nn import functional as F
from chainrule.nn.functional.losses import IGNORED, checked_reduction
from chainrule.nn.module import Module
from chainrule.tensor.tensor import Tensor


class _Loss(Module):
    """What all losses have.

    Args:
        reduction: "mean", "sum" or "none".

    Raises:
        ArgumentError: for another reduction, or PyTorch's deprecated size_average or reduce.
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(self, size_average: None = None, reduce: None = None, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = checked_reduction(type(self).__name__, reduction, size_average, reduce)


class MSELoss(_Loss):
    """(x - target)^2."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """One number, or the inputs' shape for reduction="none"."""
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """|x - target|."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """One number, or the inputs' shape for reduction="none"."""
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """d^2 / (2 beta) for d < beta, else d - beta / 2, with d = |x - target|."""

    def __init__(
        self, size_average: None = None, reduce: None = None, reduction: str = "mean", beta: float = 1.0
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """One number, or the inputs' shape for reduction="none"."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """d^2 / 2 for d <= delta, else delta (d - delta / 2), with d = |x - target|."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """One number, or the inputs' shape for reduction="none"."""
        return F.huber_loss(input, target, self.reduction, self.delta)


class CrossEntropyLoss(_Loss):
    """-w[t] log softmax(x)[t]: logits (N, C), (C,) or (N, C, d1, ...) with labels or probabilities.

    Args:
        weight: (C,), a factor for each class.
        ignore_index: rows with this label do not count.
        label_smoothing: e in [0, 1]: the target becomes (1 - e) t + e / C.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: None = None,
        ignore_index: int = IGNORED,
        reduce: None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """One number, or the shape without C for reduction="none"."""
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_Loss):
    """-w[t] x[t] for log-probabilities x of (N, C), (C,) or (N, C, d1, ...).

    Args:
        weight: (C,), a factor for each class.
        ignore_index: rows with this label do not count.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: None = None,
        ignore_index: int = IGNORED,
        reduce: None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """One number, or the shape without C for reduction="none"."""
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class BCELoss(_Loss):
    """-(t log x + (1 - t) log(1 - x)) for probabilities x; weight is a factor that broadcasts."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: None = None,
        reduce: None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """One number, or the inputs' shape for reduction="none"."""
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """BCELoss of sigmoid(x), without overflow; pos_weight is a factor for the positive part."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: None = None,
        reduce: None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """One number, or the inputs' shape for reduction="none"."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class KLDivLoss(Module):
    """target (log target - x) for log-probabilities x; "batchmean" is the divergence."""

    def __init__(
        self, size_average: None = None, reduce: None = None, reduction: str = "mean", log_target: bool = False
    ) -> None:
        super().__init__()
        checked_reduction("KLDivLoss", "sum" if reduction == "batchmean" else reduction, size_average, reduce)
        self.reduction, self.log_target = reduction, log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """One number, or the common shape for reduction="none"."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)
