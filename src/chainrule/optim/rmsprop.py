"""RMSprop: the gradient divided by the root of its mean square."""

from __future__ import annotations

from typing import Any

from chainrule.optim import in_place
from chainrule.optim.elementwise import Elementwise, Named
from chainrule.optim.optimizer import Group, Params, check_at_least_zero, number
from chainrule.tensor.graph import Array


class RMSprop(Elementwise):
    r"""Root mean square propagation.

        v' = a v + (1 - a) g^2,    p' = p - lr g / (sqrt(v') + eps)

    With momentum mu, b' = mu b + g / (sqrt(v') + eps) and p' = p - lr b'. Centred, the root is of the variance
    v' - a'^2, where a' is the moving average of g. g is the gradient plus weight_decay p, negated if the
    objective is maximised.

    Args:
        params: Tensors, (name, Tensor) pairs, or group dictionaries.
        lr: the learning rate, at least 0.
        alpha: a, at least 0.
        eps: at least 0.
        weight_decay: the factor of the L2 penalty |p|^2 / 2, at least 0.
        momentum: mu, at least 0.
        centered: subtract the squared mean.
        maximize: go up instead of down.
        foreach: accepted, as PyTorch's choice between implementations; there is one here.
        capturable, differentiable: not supported.

    Raises:
        ArgumentError: a negative option.
        UnsupportedError: capturable=True or differentiable=True.

    Source: Tieleman and Hinton 2012, lecture 6.5 of "Neural networks for machine learning"; centred: Graves 2013,
        "Generating sequences with recurrent neural networks", eq. 38-45.
    """

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_at_least_zero(lr, "lr", "learning rate")
        check_at_least_zero(eps, "eps", "epsilon value")
        check_at_least_zero(momentum, "momentum", "momentum value")
        check_at_least_zero(weight_decay, "weight_decay", "weight_decay value")
        check_at_least_zero(alpha, "alpha", "alpha value")
        defaults = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def hyperparameters(self, group: Group) -> Named:
        return {
            "lr": number(group["lr"], "lr"),
            "alpha": number(group["alpha"], "alpha"),
            "eps": number(group["eps"], "eps"),
            "momentum": number(group["momentum"], "momentum") or None,
        }

    def state_names(self, group: Group) -> tuple[str, ...]:
        buffer = ("momentum_buffer",) if group["momentum"] > 0 else ()
        return ("square_avg", *buffer, *(("grad_avg",) if group["centered"] else ()))

    def descend(self, g: Array, down: Array, state: Named, step: float, options: Named) -> None:
        in_place.rmsprop(g, down, **state, **options)
