"""Initialisation with apply and nn.init, frozen layers, parameter counts, buffers, a ModuleList."""

import chainrule as torch
import chainrule.nn as nn


def init_weights(m):
    if isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight)
        m.bias.data.fill_(0.01)


class Residual(nn.Module):
    def __init__(self, width, depth):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.act = nn.ReLU(inplace=True)
        self.register_buffer("scale", torch.ones(1))

    def forward(self, x):
        for block in self.blocks:
            x = x + self.act(block(x)) * self.scale
        return x


torch.manual_seed(0)
model = Residual(6, 3)
model.apply(init_weights)
assert all(torch.all(b.bias == 0.01) for b in model.blocks)
limit = (6 / 12) ** 0.5
assert all(b.weight.abs().max() <= limit for b in model.blocks)
assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 3 * (36 + 6)
assert "scale" in model.state_dict() and len(list(model.parameters())) == 6

for name, p in model.named_parameters():
    if name.startswith("blocks.0"):
        p.requires_grad = False
optimizer = torch.optim.AdamW(filter(lambda p: p.requires_grad, model.parameters()), lr=1e-2, weight_decay=0.01)
before = model.blocks[0].weight.clone(), model.blocks[1].weight.detach().clone()
model(torch.randn(4, 6)).pow(2).mean().backward()
optimizer.step()
assert torch.equal(before[0], model.blocks[0].weight) and not torch.equal(before[1], model.blocks[1].weight)
print(model)
