"""A checkpoint of model, optimizer and epoch; training goes on as if it had not stopped."""

import os
import tempfile

import chainrule as torch
import chainrule.nn as nn


def new():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1))
    return model, torch.optim.Adam(model.parameters(), lr=0.05)


def train(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.MSELoss()(model(x), y)
        loss.backward()
        optimizer.step()
    return loss.item()


x, y = torch.arange(12.0).reshape(4, 3) / 10, torch.tensor([[1.0], [0.0], [2.0], [1.0]])
model, optimizer = new()
train(model, optimizer, 10)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "checkpoint.pth")
    torch.save(
        {
            "epoch": 10,
            "model_state_dict": model.state_dict(),
            "optimizer_state_dict": optimizer.state_dict(),
            "best": 0.5,
        },
        path,
    )
    expected = train(model, optimizer, 10)

    resumed, resumed_optimizer = new()
    checkpoint = torch.load(path, map_location=torch.device("cpu"), weights_only=True)
    resumed.load_state_dict(checkpoint["model_state_dict"])
    resumed_optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
    assert checkpoint["epoch"] == 10
    assert train(resumed, resumed_optimizer, 10) == expected

    weights = os.path.join(folder, "weights.pt")
    torch.save(model.state_dict(), weights)
    other, _ = new()
    print(other.load_state_dict(torch.load(weights)))
    other.eval()
    with torch.inference_mode():
        assert torch.allclose(other(x), model(x))
