"""Vectors and banks to and from elsewhere: GGUF control vectors, plain safetensors, other people's banks.

Both layouts number layers as this package does: layer n is decoder block n, counted from 0, and
its vector is added to the residual stream *after* that block, at every position. A file cannot
hold the recipe's gate and scope; they are left to the program that reads it.
"""
