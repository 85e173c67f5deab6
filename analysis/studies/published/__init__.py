"""Published data sets as a collection of problems, for fits what posteriordb is for Bayesian models.

`manifest` lists the sets (origin, licence, hash, columns) and checks the files at hand; `procedures` has the authors'
procedures, `problems` runs them and our defaults beside the published figures, and `outcomes` is the result. The data
are not part of the project.
"""
