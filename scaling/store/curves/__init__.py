"""Learning curves: their files, and whether those of the runs of a sweep coincide.

`curve_files` reads and writes the curve of a run. `collapse` normalises curves and estimates the irreducible loss,
`deviations` and `repeats` find runs that leave the band of the others, and `health` does so for runs of a store.
"""
