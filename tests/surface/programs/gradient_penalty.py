"""WGAN-GP's penalty: the gradient of a gradient's norm, through autograd.grad with create_graph."""

import chainrule as torch
import chainrule.autograd as autograd
import chainrule.nn as nn

torch.manual_seed(0)
critic = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2, inplace=False), nn.Linear(16, 1))
optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2, betas=(0.5, 0.9))


def gradient_penalty(real, fake):
    alpha = torch.rand(real.size(0), 1).expand_as(real)
    mixed = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
    scores = critic(mixed)
    gradients = autograd.grad(
        outputs=scores,
        inputs=mixed,
        grad_outputs=torch.ones(scores.size()),
        create_graph=True,
        retain_graph=True,
        only_inputs=True,
    )[0]
    return ((gradients.view(gradients.size(0), -1).norm(2, dim=1) - 1) ** 2).mean()


for step in range(60):
    real, fake = torch.randn(64, 2) + 2, torch.randn(64, 2)
    penalty = gradient_penalty(real, fake)
    loss = critic(fake).mean() - critic(real).mean() + 10 * penalty
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("loss", loss.item(), "penalty", penalty.item())
assert critic(torch.full((1, 2), 2.0)).item() > critic(torch.zeros(1, 2)).item()

x = torch.tensor([0.5, 1.0], requires_grad=True)
(first,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
(second,) = torch.autograd.grad(first.sum(), x)
assert torch.allclose(second, 6 * x.detach())
assert torch.allclose(torch.autograd.functional.hessian(lambda v: (v**3).sum(), x.detach()), torch.diag(6 * x.detach()))
