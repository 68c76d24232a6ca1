"""The usual training loop: a model class, loaders, a validation pass, accuracy."""

import chainrule as torch
import chainrule.nn as nn
import chainrule.nn.functional as F
import chainrule.optim as optim
from chainrule.utils.data import DataLoader, TensorDataset, random_split


class Net(nn.Module):
    def __init__(self, in_features, hidden, classes, p=0.1):
        super().__init__()
        self.fc1 = nn.Linear(in_features, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(p)
        self.out = nn.Linear(hidden, classes)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = self.dropout(torch.tanh(self.fc2(x)))
        return F.log_softmax(self.out(x), dim=1)


torch.manual_seed(0)
X = torch.randn(600, 8)
labels = (X[:, :4].sum(dim=1) > X[:, 4:].sum(dim=1)).long()
train_set, test_set = random_split(TensorDataset(X, labels), [500, 100], generator=torch.Generator().manual_seed(42))
train_loader = DataLoader(train_set, batch_size=32, shuffle=True, num_workers=0, pin_memory=False, drop_last=True)
test_loader = DataLoader(test_set, batch_size=64)

device = torch.device("cpu")
model = Net(8, 32, 2).to(device)
optimizer = optim.Adam(model.parameters(), lr=1e-2, betas=(0.9, 0.999), weight_decay=1e-5)
criterion = nn.NLLLoss()

for epoch in range(12):
    model.train()
    running_loss = 0.0
    for batch_idx, (data, target) in enumerate(train_loader):
        data, target = data.to(device), target.to(device)
        optimizer.zero_grad()
        loss = criterion(model(data), target)
        loss.backward()
        optimizer.step()
        running_loss += loss.item() * data.size(0)

model.eval()
correct = 0
with torch.no_grad():
    for data, target in test_loader:
        pred = model(data).argmax(dim=1, keepdim=True)
        correct += pred.eq(target.view_as(pred)).sum().item()
accuracy = 100.0 * correct / len(test_loader.dataset)
print(f"Accuracy: {correct}/{len(test_loader.dataset)} ({accuracy:.0f}%), loss {running_loss / len(train_set):.3f}")
assert len(train_loader) == 15
assert accuracy > 85
