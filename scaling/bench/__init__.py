"""Measurements of the program itself: training speed (`bench`, with PyTorch in `torch`), of sparse autoencoders (`sae`),
and coordinate checks.
"""
