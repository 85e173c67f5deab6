"""Evaluation of trained models: questions, scores, and item files.

`run` evaluates one model on a list of tasks (`evaluate_run`), writes item files next to the record and scores into it.
`config` has the options, `prompts` makes the questions of task families and of users' files, which `json_lines` reads
and `question_file` checks; `scoring` scores questions, `perplexity` and `extraction` are tasks on the run's own text,
and `summary` computes the scores with their intervals. `harness` runs the tasks of EleutherAI's lm-evaluation-harness.
"""
