"""Decoding close to the processor: the arithmetic that CUDA kernels and the compiled decoder for the CPU share, and the
latter. The kernels themselves are not here yet.
"""
