"""Settings as objects: the network, its loss, the optimizer and its schedule."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from chainrule import nn, optim
from chainrule.errors import UsageError
from chainrule.optim import lr_scheduler
from chainrule.train.config import ACTIVATIONS, LOSSES, Settings


def build_network(inputs: int, outputs: int, settings: Settings) -> nn.Sequential:
    """Linear layers of the sizes in the settings with the activation between them: (n, inputs) -> (n, outputs)."""
    assert settings.layers is not None
    assert settings.activation is not None
    sizes = [inputs, *settings.layers, outputs]
    activation = getattr(nn, ACTIVATIONS[settings.activation])
    modules: list[nn.Module] = []
    for in_features, out_features in pairwise(sizes):
        modules += [nn.Linear(in_features, out_features), activation()]
    return nn.Sequential(*modules[:-1])


def build_loss(settings: Settings) -> Any:
    """The mean loss over a batch, of outputs and targets."""
    return getattr(nn, LOSSES[settings.loss][1])()


def build_optimizer(parameters: Iterable[Any], settings: Settings) -> optim.Optimizer:
    """The optimizer of the settings, with PyTorch's defaults for what they do not name."""
    options: dict[str, Any] = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    if settings.momentum is not None:
        options["momentum"] = settings.momentum
    classes: dict[str, Any] = {
        "sgd": optim.SGD,
        "momentum": optim.SGD,
        "adam": optim.Adam,
        "adamw": optim.AdamW,
        "rmsprop": optim.RMSprop,
        "adagrad": optim.Adagrad,
        "adadelta": optim.Adadelta,
    }
    optimizer: optim.Optimizer = classes[settings.optimizer](list(parameters), **options)
    return optimizer


def build_schedule(optimizer: Any, settings: Settings, batches: int | None) -> tuple[Any | None, bool]:
    """The schedule of the learning rate, and whether it advances after every batch (else after every epoch).

    cosine falls to 0 over the run; step divides by 10 after each third of it; onecycle rises for 30% of the
    run and falls for the rest.
    """
    if settings.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=settings.epochs), False
    if settings.schedule == "step":
        return lr_scheduler.StepLR(optimizer, step_size=max(1, -(-settings.epochs // 3)), gamma=0.1), False
    if settings.schedule == "onecycle":
        if batches is None:
            raise UsageError(
                "--schedule onecycle needs to know how many batches an epoch has, and this DataLoader cannot say",
                mend="Choose another schedule.",
            )
        highest = [group["lr"] for group in optimizer.param_groups]
        steps = settings.epochs * batches
        return lr_scheduler.OneCycleLR(optimizer, max_lr=highest, total_steps=steps), True
    return None, False
