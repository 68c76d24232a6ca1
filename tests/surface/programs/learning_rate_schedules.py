"""Schedulers: stepped after each epoch, and on a plateau of the loss."""

import chainrule as torch
from chainrule import nn, optim
from chainrule.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LambdaLR, ReduceLROnPlateau, StepLR

model = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))


def rates(scheduler_of, epochs=6):
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = scheduler_of(optimizer)
    seen = []
    for _ in range(epochs):
        seen.append(round(optimizer.param_groups[0]["lr"], 6))
        optimizer.zero_grad()
        model(torch.ones(2, 2, 2)).sum().backward()
        optimizer.step()
        scheduler.step()
    return seen


assert rates(lambda o: StepLR(o, step_size=2, gamma=0.1)) == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
assert rates(lambda o: ExponentialLR(o, gamma=0.5))[:3] == [0.1, 0.05, 0.025]
assert rates(lambda o: LambdaLR(o, lr_lambda=lambda epoch: 1 / (epoch + 1)))[:2] == [0.1, 0.05]
assert abs(rates(lambda o: CosineAnnealingLR(o, T_max=4), 5)[4]) < 1e-9

optimizer = optim.SGD([{"params": model[1].weight}, {"params": [model[1].bias], "lr": 1.0}], lr=0.1)
plateau = ReduceLROnPlateau(optimizer, mode="min", factor=0.1, patience=1)
for loss in (1.0, 1.0, 1.0, 1.0):
    optimizer.step()
    plateau.step(loss)
assert [round(g["lr"], 6) for g in optimizer.param_groups] == [0.01, 0.1]
