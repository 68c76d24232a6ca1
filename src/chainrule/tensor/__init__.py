"""Define-by-run: Tensors, the graph they leave behind, and the sweep that differentiates it."""
