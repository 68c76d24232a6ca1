"""`chainrule bench`: training steps beside those of PyTorch and JAX, and beside what the machine can do at best.

workloads.py and networks.py say what is timed; programs/ has it in each library; session.py starts a process for each
contender (worker.py), compares results and times in turns; machine.py measures the peak; table.py shows what came out.
"""
