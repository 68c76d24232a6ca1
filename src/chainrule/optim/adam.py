"""Adam: steps of adaptive size, from moving averages of the gradient and of its square."""

from __future__ import annotations

from typing import Any

from chainrule.errors import ArgumentError
from chainrule.ops.catalogue import CATALOGUE
from chainrule.ops.op import Op
from chainrule.optim import in_place
from chainrule.optim.elementwise import Elementwise, Named
from chainrule.optim.optimizer import Group, Params, check_at_least_zero, check_fused_alone, number
from chainrule.tensor.graph import Array
from chainrule.tensor.tensor import Tensor


class Adam(Elementwise):
    r"""Adaptive moment estimation. At step t = 1, 2, ...

        m' = b1 m + (1 - b1) g,    v' = b2 v + (1 - b2) g^2
        p' = p - lr m'/(1 - b1^t) / (sqrt(v'/(1 - b2^t)) + eps)

    g is the gradient plus weight_decay p, negated if the objective is maximised.

    Args:
        params: Tensors, (name, Tensor) pairs, or group dictionaries.
        lr: the learning rate, at least 0: about the size of a step.
        betas: b1 and b2, floats in [0, 1).
        eps: at least 0; bounds the step where the gradient is tiny.
        weight_decay: the factor of the L2 penalty |p|^2 / 2, at least 0.
        amsgrad: divide by the root of the largest v' so far (Reddi et al. 2018).
        maximize: go up instead of down.
        decoupled_weight_decay: shrink p by lr weight_decay beside the step, as AdamW does.
        foreach, fused: accepted, as PyTorch's choice between implementations; there is one here.
        capturable, differentiable: not supported.

    Raises:
        ArgumentError: an option outside its range.
        UnsupportedError: capturable=True or differentiable=True.

    Example:
        opt = Adam([{"params": body}, {"params": head, "lr": 1e-2}], lr=1e-3)
        opt.zero_grad()
        loss.backward()
        opt.step()

    Source: Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 1.
    """

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_at_least_zero(lr, "lr", "learning rate")
        check_at_least_zero(eps, "eps", "epsilon value")
        check_at_least_zero(weight_decay, "weight_decay", "weight_decay value")
        check_fused_alone(fused, foreach)
        defaults = {
            "lr": lr, "betas": checked_betas(betas), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)

    def formula(self, group: Group) -> Op:
        return CATALOGUE["adamw" if self.decays_apart(group) else "adam"]

    def decays_apart(self, group: Group) -> bool:
        return bool(group.get("decoupled_weight_decay", False))

    def hyperparameters(self, group: Group) -> Named:
        beta1, beta2 = group["betas"]
        return {
            "lr": number(group["lr"], "lr"),
            "beta1": number(beta1, "betas[0]"),
            "beta2": number(beta2, "betas[1]"),
            "eps": number(group["eps"], "eps"),
        }

    def state_names(self, group: Group) -> tuple[str, ...]:
        return WITH_LARGEST if group["amsgrad"] else MOMENTS

    def descend(self, g: Array, down: Array, state: Named, step: float, options: Named) -> None:
        in_place.adam(g, down, step=step, **state, **options)


MOMENTS = ("exp_avg", "exp_avg_sq")
WITH_LARGEST = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")


def checked_betas(betas: tuple[Any, Any]) -> tuple[float, float]:
    """The decay rates as floats.

    Raises:
        ArgumentError: one is outside [0, 1), or they are not both floats or both Tensors.
    """
    for i, beta in enumerate(betas):
        if not 0.0 <= number(beta, f"betas[{i}]") < 1.0:
            raise ArgumentError(f"Invalid beta parameter at index {i}: {beta}")
    if not (all(isinstance(b, float) for b in betas) or all(isinstance(b, Tensor) for b in betas)):
        raise ArgumentError("betas must be either both floats or both Tensors", got=[f"betas  {betas}"])
    beta1, beta2 = betas
    return float(beta1), float(beta2)
