"""An autograd.Function of one's own, in a module, trained; and a Function with two inputs."""

import chainrule as torch
import chainrule.nn as nn
from chainrule.autograd import Function, Variable


class LegendrePolynomial3(Function):
    """P3(x) = (5x^3 - 3x) / 2."""

    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return 0.5 * (5 * input**3 - 3 * input)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        return grad_output * 1.5 * (5 * input**2 - 1)


class MulConstant(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor, constant):
        ctx.constant = constant
        return tensor * constant

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output * ctx.constant, None


class Legendre(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.0))
        self.b = nn.Parameter(torch.tensor(-0.3))

    def forward(self, x):
        return self.a + self.b * LegendrePolynomial3.apply(x)


x = torch.linspace(-1, 1, 200)
y = 0.25 + 0.75 * LegendrePolynomial3.apply(x)
model = Legendre()
optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
for _ in range(200):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
assert abs(model.a.item() - 0.25) < 1e-3 and abs(model.b.item() - 0.75) < 1e-3

v = Variable(torch.ones(3), requires_grad=True)
MulConstant.apply(v, 5.0).sum().backward()
assert torch.equal(v.grad, torch.full((3,), 5.0))
