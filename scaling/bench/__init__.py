"""Measurements of the program itself: training speed (`bench`, with PyTorch in `torch`) and coordinate checks."""
