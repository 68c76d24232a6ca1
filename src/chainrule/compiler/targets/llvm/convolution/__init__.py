"""Convolutions as vector code: products whose right side is the same memory, seen from another place for each tap.

geometry   the sizes, and what they decide      staging    planes as each column of the kernel sees them
tiles      sums of a tile in registers          output, input, weight   the three convolutions' loops

An output plane is one row of positions f = i * width + j. Staged once for each column of the kernel, a plane has the
same width: what tap (p, q) sees of all positions is then consecutive memory, p rows further on. So the taps of one
column need no copies of their own, lanes run through positions without gaps however narrow the planes are, and
strides, padding and dilation have gone with the staging.
"""
