"""An Optimizer subclass: SGD with momentum kept in self.state, compared with the built-in one."""

import chainrule as torch
from chainrule import nn
from chainrule.optim import Optimizer


class MomentumSGD(Optimizer):
    def __init__(self, params, lr=0.1, momentum=0.9):
        if lr < 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        super().__init__(params, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if len(state) == 0:
                    state["velocity"] = torch.zeros_like(p)
                velocity = state["velocity"]
                velocity.mul_(group["momentum"]).add_(p.grad)
                p.add_(velocity, alpha=-group["lr"])
        return loss


x, y = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[2.0], [4.0], [6.0]])


def losses(kind):
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    optimizer = kind(model.parameters(), lr=0.01, momentum=0.9)

    def closure():
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        return loss

    return [optimizer.step(closure).item() for _ in range(30)]


ours, builtin = losses(MomentumSGD), losses(torch.optim.SGD)
assert all(abs(a - b) <= 1e-5 * (1 + b) for a, b in zip(ours, builtin)), (ours, builtin)
assert ours[-1] < 0.1 * ours[0]
