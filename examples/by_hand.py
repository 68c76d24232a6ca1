"""A network trained by hand: four measurements of a flower, three species."""

import numpy as np

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.data import bundled
from chainrule.data.splits import stratified_split

cr.manual_seed(0)
iris = bundled.load("iris")
train, test = stratified_split(iris.targets, 0.2, np.random.default_rng(0))

mean, std = iris.features[train].mean(axis=0), iris.features[train].std(axis=0)  # the test flowers scale nothing
inputs = cr.tensor((iris.features - mean) / std)
targets = cr.tensor(iris.targets)

model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
optimizer = optim.Adam(model.parameters(), lr=0.02)

for epoch in range(1, 101):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(inputs[train]), targets[train])
    loss.backward()
    optimizer.step()
    if epoch % 20 == 0:
        print(f"epoch {epoch:3}  loss {loss.item():.4f}")

with cr.no_grad():
    predicted = model(inputs[test]).argmax(dim=1)
print(f"test accuracy {(predicted == targets[test]).float().mean().item():.1%}")
