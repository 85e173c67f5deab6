"""Evaluation of trained runs with EleutherAI's lm-evaluation-harness, with data from the hub or local JSON lines.

`run` evaluates a model (`run_harness`), `config` has the options, `model` adapts `Scorer` to the harness's model class,
`rows` turns its samples into item rows, `local` reads JSON lines, `sandbox` runs programs that a model wrote.

To add a benchmark with local data, write its YAML file in `tasks` and add one line to `local.FORMATS`.
"""
