"""Adagrad: the gradient divided by the root of the sum of its squares."""

from __future__ import annotations

from typing import Any

from chainrule.optim import in_place
from chainrule.optim.elementwise import Elementwise, Named
from chainrule.optim.optimizer import Group, Params, check_at_least_zero, check_fused_alone, number
from chainrule.tensor.graph import Array


class Adagrad(Elementwise):
    r"""Adaptive subgradient method. At step t = 1, 2, ...

        s' = s + g^2,    p' = p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s') + eps)

    g is the gradient plus weight_decay p, negated if the objective is maximised. The state exists from the
    start, as in PyTorch.

    Args:
        params: Tensors, (name, Tensor) pairs, or group dictionaries.
        lr: the learning rate, at least 0.
        lr_decay: at least 0.
        weight_decay: the factor of the L2 penalty |p|^2 / 2, at least 0.
        initial_accumulator_value: what s starts with, at least 0.
        eps: at least 0.
        maximize: go up instead of down.
        foreach, fused: accepted, as PyTorch's choice between implementations; there is one here.
        differentiable: not supported.

    Raises:
        ArgumentError: a negative option.
        UnsupportedError: differentiable=True.

    Source: Duchi, Hazan and Singer 2011, "Adaptive subgradient methods", figure 1.
    """

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_at_least_zero(lr, "lr", "learning rate")
        check_at_least_zero(lr_decay, "lr_decay", "lr_decay value")
        check_at_least_zero(weight_decay, "weight_decay", "weight_decay value")
        start = initial_accumulator_value
        check_at_least_zero(start, "initial_accumulator_value", "initial_accumulator_value value")
        check_at_least_zero(eps, "eps", "epsilon value")
        check_fused_alone(fused, foreach)
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)

    def add_param_group(self, param_group: Group) -> None:
        super().add_param_group(param_group)
        for p in param_group["params"]:
            self._begin(p, self.state_names(param_group), param_group)

    def initial(self, name: str, group: Group) -> float:
        return number(group["initial_accumulator_value"], "initial_accumulator_value")

    def hyperparameters(self, group: Group) -> Named:
        return {
            "lr": number(group["lr"], "lr"),
            "lr_decay": number(group["lr_decay"], "lr_decay"),
            "eps": number(group["eps"], "eps"),
        }

    def state_names(self, group: Group) -> tuple[str, ...]:
        return ("sum",)

    def descend(self, g: Array, down: Array, state: Named, step: float, options: Named) -> None:
        in_place.adagrad(g, down, step=step, **state, **options)
