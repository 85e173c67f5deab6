"""Evaluation of trained models: which questions a model gets, how they are scored, and where the results go.

`run` evaluates one model on a list of tasks (`evaluate_run`), writes item files next to the record and scores into it.
`config` has the options, `prompts` makes the questions of task families and of users' files, `perplexity` and
`extraction` are the tasks on the run's own text, `summary` computes the scores. `harness` runs the tasks of
EleutherAI's lm-evaluation-harness.
"""
