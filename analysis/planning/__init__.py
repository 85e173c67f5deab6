"""What follows from a fitted law: optimal training, and the runs that make it more certain.

`compute_optimal` gives the optimum at a budget or for a loss, and the cost of deviating from it, on the loss `surface`
of a fit. `next_runs` recommends runs within `options.DesignOptions`, by the c-optimal design of `optimal_design`.
"""
