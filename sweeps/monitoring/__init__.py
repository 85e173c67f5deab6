"""The status of a sweep: states of its runs, cost so far, losses and errors.

`status.status` reads it from the store as plain data. `terminal` formats it as text, `page` as an HTML page with charts
from `svg`, and `watch` updates either repeatedly. `axes` chooses the axes of plots, `braille` draws plots in a
terminal, `live` redraws progress bars and screens, and `read_many` reads many small files.
"""
