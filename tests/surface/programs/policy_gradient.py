"""REINFORCE on a bandit with three arms: sample with multinomial, weight log-probabilities with returns."""

import chainrule as torch
import chainrule.nn.functional as F
from chainrule import nn

torch.manual_seed(0)
policy = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3))
optimizer = torch.optim.RMSprop(policy.parameters(), lr=0.01)
state = torch.tensor([[1.0, -1.0]])
reward_of = [0.1, 0.2, 1.0]

for episode in range(150):
    log_probs, rewards = [], []
    for _ in range(8):
        probs = F.softmax(policy(state), dim=-1)
        action = torch.multinomial(probs, num_samples=1).item()
        log_probs.append(torch.log(probs.squeeze(0)[action]))
        rewards.append(reward_of[action])
    returns = torch.tensor(rewards)
    returns = (returns - returns.mean()) / (returns.std() + 1e-6)
    loss = torch.stack([-lp * r for lp, r in zip(log_probs, returns)]).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

probs = F.softmax(policy(state), dim=-1).detach().numpy()[0]
print("probabilities", probs)
assert probs.argmax() == 2 and probs[2] > 0.8
