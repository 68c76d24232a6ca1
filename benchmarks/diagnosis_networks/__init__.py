"""Networks drawn at random, healthy ones and with faults planted, to measure how well `cr.diagnose` tells them apart.

tasks         data sets with a held-out part, and what the best constant answer reaches
specification one network in words: what it is drawn from, and what its build reads
architectures the modules: stacks, residual blocks, loops, transformers, and the pieces that faults insert
build         a specification as a model, a loss, batches and an optimizer
faults        the table: every fault, how it is planted, and which causes are right answers for it
draw          the network of a name, always the same one; redrawn until its fault does harm
harm          the training of a network and of its unharmed twin
answers       a finding's words as the benchmark's words
baseline      rules from the literature, for comparison
remedies      whether a remedy improves training
scoring       precision, recall, false alarms and calibration

Nothing here imports chainrule.diagnose, but for the lazy calls in `benchmarks/diagnosis.py`: no code, threshold or seed
is shared with what is measured.
"""
