"""A data set class with arrays and dictionaries, a sampler, and a collate function of one's own."""

import numpy as np

import chainrule as torch
from chainrule.utils.data import DataLoader, Dataset, IterableDataset
from chainrule.utils.data.sampler import SubsetRandomSampler, WeightedRandomSampler


class Squares(Dataset):
    def __init__(self, n, transform=None):
        self.n, self.transform = n, transform

    def __len__(self):
        return self.n

    def __getitem__(self, idx):
        if torch.is_tensor(idx):
            idx = idx.tolist()
        sample = {"x": np.array([idx, idx + 1], dtype=np.float32), "y": idx**2, "name": f"sample {idx}"}
        return self.transform(sample) if self.transform else sample


def to_tensor(sample):
    return {"x": torch.from_numpy(sample["x"]), "y": torch.tensor(sample["y"]), "name": sample["name"]}


for dataset in (Squares(10), Squares(10, transform=to_tensor)):
    batch = next(iter(DataLoader(dataset, batch_size=4, shuffle=False)))
    assert batch["x"].shape == (4, 2) and batch["x"].dtype == torch.float32
    assert batch["y"].tolist() == [0, 1, 4, 9] and batch["y"].dtype == torch.int64
    assert batch["name"] == [f"sample {i}" for i in range(4)]


def pad(samples):
    longest = max(len(s) for s in samples)
    padded = torch.zeros(len(samples), longest, dtype=torch.long)
    for i, s in enumerate(samples):
        padded[i, : len(s)] = torch.tensor(s)
    return padded, torch.tensor([len(s) for s in samples])


sequences = [[1, 2, 3], [4], [5, 6], [7, 8, 9, 10]]
tokens, lengths = next(iter(DataLoader(sequences, batch_size=4, collate_fn=pad)))
assert tokens.shape == (4, 4) and lengths.tolist() == [3, 1, 2, 4] and tokens[1].tolist() == [4, 0, 0, 0]

seen = [
    int(y) for batch in DataLoader(Squares(10), batch_size=3, sampler=SubsetRandomSampler(range(5))) for y in batch["y"]
]
assert sorted(seen) == [0, 1, 4, 9, 16]
heavy = DataLoader(Squares(3), sampler=WeightedRandomSampler([0.0, 1.0, 0.0], num_samples=6, replacement=True))
assert [b["y"].item() for b in heavy] == [1] * 6


class Stream(IterableDataset):
    def __iter__(self):
        yield from range(7)


assert [b.tolist() for b in DataLoader(Stream(), batch_size=3)] == [[0, 1, 2], [3, 4, 5], [6]]
