"""The target LLVM: fused loop nests and matrix products as machine code for the CPU that runs the program."""
