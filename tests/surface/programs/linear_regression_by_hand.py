"""A line fitted with autograd alone: forward, backward, update under no_grad, zero the gradients."""

import chainrule as torch

torch.manual_seed(0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
x = torch.linspace(-1, 1, 100, device=device).unsqueeze(1)
y = 3 * x + 0.5 + 0.05 * torch.randn(x.size())

w = torch.randn(1, 1, requires_grad=True, device=device)
b = torch.zeros(1, requires_grad=True)
learning_rate = 0.3
for epoch in range(200):
    loss = ((x.mm(w) + b - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        w -= learning_rate * w.grad
        b -= learning_rate * b.grad
        w.grad.zero_()
        b.grad = None
    if epoch % 50 == 0:
        print(f"epoch {epoch}: loss {loss.item():.4f}")

assert abs(w.item() - 3) < 0.05, w
assert abs(b.item() - 0.5) < 0.05, b
