"""Which mistake a wrong derivation contains. Read catalogue, site, one file of mutations, then match.

`network` says what the quantities of a program are (weights, activations, the batch), the files of mutations change
a right step as a student would, `catalogue` names and explains them, `match` finds the one that gives what was
claimed, and `pattern` says what can be seen of an error that none gives.
"""
