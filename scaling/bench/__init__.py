"""Measurements of the program itself: training speed, of models (`bench`) and autoencoders (`sae`); coordinate checks."""
