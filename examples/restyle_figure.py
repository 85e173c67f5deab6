"""Draws a figure of a fit in another size, font and colour, and saves it as a PDF with embedded TrueType fonts.

The figure is an ordinary Matplotlib figure: its axes, lines and texts can be changed before it is saved.
"""

import numpy as np

from analysis import FitOptions, fit, plot

noise = np.random.default_rng(0)
N, D = (x.ravel() for x in np.meshgrid(np.geomspace(3e7, 3e9, 5), np.geomspace(1e9, 1e11, 5)))
L = (1.69 + 406.4 / N**0.34 + 410.7 / D**0.28) * np.exp(0.003 * noise.normal(size=N.size))
law = fit({"N": N, "D": D, "L": L}, "chinchilla", FitOptions(bootstrap=200))

figure = plot(law, "law", width="column")  # 3.25 inches, a column of a two-column paper
figure.set_size_inches(3.0, figure.get_size_inches()[1])
for axes in figure.axes:
    axes.grid(False)
    for text in (axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()):
        text.set(fontfamily="DejaVu Sans", fontsize=7)
    for line in axes.get_lines():
        line.set_color("#7b3294")
figure.savefig("law.pdf")
print("law.pdf:", *figure.get_size_inches(), "inches")
