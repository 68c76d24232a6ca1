"""The training steps: `torchlike.py` for PyTorch and chainrule, which share their names, and `jitted.py` for JAX."""
