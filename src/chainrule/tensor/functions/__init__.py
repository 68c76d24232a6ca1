"""What users call: PyTorch's names and signatures over the catalogue's gates, one file per family.

A function whose first argument is a tensor is a method as well (`methods.py`).
"""
