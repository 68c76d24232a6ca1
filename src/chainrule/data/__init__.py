"""Data: tables, images and the data sets that can be had by name, as arrays ready for a network."""
