"""Learning curves: their files, and whether those of the runs of a sweep coincide.

`curve_files` reads and writes the curve of a run. `collapse` normalises curves and estimates the irreducible loss,
`deviations`, `repeats` and `schedules` find runs that differ from the others, and `health` does so for runs of a store.
"""
