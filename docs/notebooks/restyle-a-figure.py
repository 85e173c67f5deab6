# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Restyling a figure for a venue
#
# Figures have the text width of NeurIPS and ICLR by default, and `width="column"` gives a column of ICML. Venues
# differ in width, fonts and sizes. A figure is an ordinary Matplotlib figure, so that all of it can be changed before
# it is saved.

# %%
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.text import Text

from analysis import FitOptions, fit, plot, save_figure

noise = np.random.default_rng(0)
N, D = (x.ravel() for x in np.meshgrid(np.geomspace(3e7, 3e9, 6), np.geomspace(1e9, 1e11, 6)))
L = (1.69 + 406.4 / N**0.34 + 410.7 / D**0.28) * np.exp(0.003 * noise.normal(size=N.size))
law = fit({"N": N, "D": D, "L": L}, "chinchilla", FitOptions(bootstrap=300))
plot(law, "law")

# %% [markdown]
# ## Width
#
# At the width of a column the panels are stacked, so that labels keep their size.

# %%
figure = plot(law, "law", width="column")
figure

# %% [markdown]
# For another width, set the size in inches. Include the file in the paper without scaling: the font sizes are then
# those that you set here. ACL's columns have 3.03 inches.

# %%
figure.set_size_inches(3.03, 4.6)
figure

# %% [markdown]
# ## Fonts and sizes
#
# Every text of a figure can be found with `findobj`. Fonts that Matplotlib does not know are added with
# `font_manager.fontManager.addfont("FILE.ttf")`.

# %%
print("available here:", sorted({font.name for font in font_manager.fontManager.ttflist})[:5], "...")
for text in figure.findobj(Text):
    text.set_fontfamily("DejaVu Serif")
    text.set_math_fontfamily("dejavuserif")  # of symbols and powers of ten
    text.set_fontsize(7)
figure

# %% [markdown]
# ## Colours and lines

# %%
for axes in figure.axes:
    axes.grid(False)
    axes.spines[["top", "right"]].set_visible(True)
    for line in axes.get_lines():
        line.set_linewidth(1.4)
for line in figure.axes[1].get_lines():
    line.set_color("#7b3294")
figure

# %% [markdown]
# ## Saving
#
# `savefig` writes a PDF whose fonts are embedded as TrueType: conferences do not accept the Type 3 fonts that
# Matplotlib writes by default. The file has no date, so that the same figure gives the same bytes.

# %%
figure.savefig("law.pdf")
data = Path("law.pdf").read_bytes()
print(len(data), "bytes; Type 3 fonts:", data.count(b"/Subtype /Type3"))

# %% [markdown]
# To keep the data and the origin of a figure next to it, save it by name. The two files are what a reader needs to
# redraw or check it:

# %%
pd.DataFrame({"params": N, "tokens": D, "val_loss": L}).to_csv("runs.csv", index=False)
save_figure("runs.csv", "law", "from-file.pdf")
pd.read_csv("from-file.data.csv").head()
