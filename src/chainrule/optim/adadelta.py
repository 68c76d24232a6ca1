"""Adadelta: steps in the parameter's own unit, from the mean squares of gradients and of past steps."""

from __future__ import annotations

from typing import Any

from chainrule.errors import ArgumentError
from chainrule.optim import in_place
from chainrule.optim.elementwise import Elementwise, Named
from chainrule.optim.optimizer import Group, Params, check_at_least_zero, number
from chainrule.tensor.graph import Array


class Adadelta(Elementwise):
    r"""Adaptive learning rates without a unit of their own.

        v' = r v + (1 - r) g^2,    d = sqrt(u + eps) / sqrt(v' + eps) g
        u' = r u + (1 - r) d^2,    p' = p - lr d

    g is the gradient plus weight_decay p, negated if the objective is maximised.

    Args:
        params: Tensors, (name, Tensor) pairs, or group dictionaries.
        lr: scales the step, at least 0.
        rho: r, in [0, 1].
        eps: at least 0; sets the size of the first steps.
        weight_decay: the factor of the L2 penalty |p|^2 / 2, at least 0.
        maximize: go up instead of down.
        foreach: accepted, as PyTorch's choice between implementations; there is one here.
        capturable, differentiable: not supported.

    Raises:
        ArgumentError: an option outside its range.
        UnsupportedError: capturable=True or differentiable=True.

    Source: Zeiler 2012, "ADADELTA: an adaptive learning rate method", algorithm 1.
    """

    def __init__(
        self,
        params: Params,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_at_least_zero(lr, "lr", "learning rate")
        if not 0.0 <= rho <= 1.0:
            raise ArgumentError(f"Invalid rho value: {rho}")
        check_at_least_zero(eps, "eps", "epsilon value")
        check_at_least_zero(weight_decay, "weight_decay", "weight_decay value")
        defaults = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def hyperparameters(self, group: Group) -> Named:
        return {
            "lr": number(group["lr"], "lr"),
            "rho": number(group["rho"], "rho"),
            "eps": number(group["eps"], "eps"),
        }

    def state_names(self, group: Group) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def descend(self, g: Array, down: Array, state: Named, step: float, options: Named) -> None:
        in_place.adadelta(g, down, **state, **options)
