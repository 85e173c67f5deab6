"""EleutherAI's lm-evaluation-harness over any run of ours: its tasks from the hub, or the same from local JSON lines.

A benchmark read from local lines is one file in `tasks` (the harness's own YAML) and one line in local.FORMATS.
"""
