"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any, ClassVar

from chainrule.errors import ArgumentError
from chainrule.optim import in_place
from chainrule.optim.elementwise import Elementwise, Named
from chainrule.optim.optimizer import Group, Params, check_at_least_zero, check_fused_alone, number
from chainrule.tensor.graph import Array


class SGD(Elementwise):
    r"""Stochastic gradient descent.

    Without momentum p' = p - lr g. With momentum mu and dampening d, the buffer b starts as the first gradient:

        b' = mu b + (1 - d) g,    p' = p - lr b'    (Nesterov: p' = p - lr (g + mu b'))

    g is the gradient plus weight_decay p, negated if the objective is maximised.

    Args:
        params: Tensors, (name, Tensor) pairs, or group dictionaries.
        lr: the learning rate, at least 0.
        momentum: mu, at least 0.
        dampening: d.
        weight_decay: the factor of the L2 penalty |p|^2 / 2, at least 0.
        nesterov: look ahead along the momentum.
        maximize: go up instead of down.
        foreach, fused: accepted, as PyTorch's choice between implementations; there is one here.
        differentiable: not supported.

    Raises:
        ArgumentError: a negative option; nesterov without momentum, or with dampening.
        UnsupportedError: differentiable=True.

    Example:
        opt = SGD(model.parameters(), lr=0.1, momentum=0.9)
        opt.zero_grad()
        loss_of(model(x), y).backward()
        opt.step()

    Source: Polyak 1964; Sutskever et al. 2013, "On the importance of initialization and momentum".
    """

    counts_steps: ClassVar[bool] = False

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: Any = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_at_least_zero(lr, "lr", "learning rate")
        check_at_least_zero(momentum, "momentum", "momentum value")
        check_at_least_zero(weight_decay, "weight_decay", "weight_decay value")
        check_fused_alone(fused, foreach)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ArgumentError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach, "differentiable": differentiable,
            "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)

    def hyperparameters(self, group: Group) -> Named:
        return {
            "lr": number(group["lr"], "lr"),
            "momentum": number(group["momentum"], "momentum") or None,
            "dampening": number(group["dampening"], "dampening") or None,
            "nesterov": group["nesterov"],
        }

    def state_names(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] != 0 else ()

    def descend(self, g: Array, down: Array, state: Named, step: float, options: Named) -> None:
        in_place.sgd(g, down, starts=step == 1, **state, **options)
