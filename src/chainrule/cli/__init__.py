"""The command line: `main.py` finds the verb, and each verb has a file of its own."""
