"""chainrule: a neural-network library that opens the black box of backpropagation."""
