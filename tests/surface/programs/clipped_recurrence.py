"""A recurrent cell by hand over a sequence, with clip_grad_norm_ and detach for truncated backpropagation."""

import chainrule as torch
import chainrule.nn as nn
from chainrule.nn.utils import clip_grad_norm_


class Cell(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.i2h = nn.Linear(inputs + hidden, hidden)
        self.h2o = nn.Linear(hidden, 1)

    def forward(self, x, h):
        h = torch.tanh(self.i2h(torch.cat((x, h), 1)))
        return self.h2o(h), h


torch.manual_seed(0)
cell = Cell(1, 12)
optimizer = torch.optim.Adam(cell.parameters(), lr=0.02)
t = torch.arange(0, 40, dtype=torch.float32) * 0.3
wave = torch.sin(t).view(-1, 1, 1)
losses = []
for epoch in range(40):
    h = torch.zeros(1, 12)
    for start in range(0, 36, 12):
        h = h.detach()
        loss = 0
        for k in range(start, start + 12):
            out, h = cell(wave[k], h)
            loss = loss + nn.functional.smooth_l1_loss(out, wave[k + 1])
        optimizer.zero_grad()
        loss.backward()
        total = clip_grad_norm_(cell.parameters(), max_norm=1.0)
        after = torch.stack([p.grad.norm() for p in cell.parameters()]).norm()
        assert after <= 1.0001 and (total <= 1 or abs(after - 1) < 1e-3)
        optimizer.step()
    losses.append(loss.item())
print(losses[0], losses[-1])
assert losses[-1] < 0.2 * losses[0]
