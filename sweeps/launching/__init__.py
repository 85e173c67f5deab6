"""Launching a sweep: checking its options, planning it, training it on an engine, evaluating and summarising it.

`launch.launch` runs a sweep with `options.LaunchOptions`, `launch.dry_run` shows what an engine would do. `check` and
`check_topology` check a sweep before its launch, `progress` displays the progress of a launch, `engine` reads the
options of its engine, `evaluate` evaluates its runs, and `lock` allows one launcher per sweep.
"""
