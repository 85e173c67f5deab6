"""Planning with a fitted law: compute-optimal training, and recommended runs.

`compute_optimal` computes the optimum at a budget or for a loss and the cost of other sizes, on the loss `surface` of a
fit. `next_runs` recommends runs that narrow the interval of a prediction, by c-optimal design (`optimal_design`) within
the limits of `options.DesignOptions`.
"""
