"""AdamW: Adam whose weight decay acts on the parameters, not on the gradients."""

from __future__ import annotations

from typing import Any

from chainrule.optim.adam import Adam
from chainrule.optim.optimizer import Params


class AdamW(Adam):
    r"""Adam with decoupled weight decay: p' = (1 - lr weight_decay) p - lr m'/(1 - b1^t) / (sqrt(v'/(1 - b2^t)) + eps).

    In Adam an L2 penalty is divided by sqrt(v) like the rest of the gradient, so that weights with large
    gradients decay less; here all decay at one rate.

    Args:
        params, lr, betas, eps, amsgrad, maximize, foreach, capturable, differentiable, fused: as in `Adam`.
        weight_decay: at least 0; 0.01 where nothing is said, unlike in Adam.

    Raises:
        As Adam.

    Source: Loshchilov and Hutter 2019, "Decoupled weight decay regularization", algorithm 2.
    """

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True  # also where an Adam's state was loaded
