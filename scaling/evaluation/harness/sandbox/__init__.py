"""Programs that a model wrote, run against a benchmark's tests in sandboxes (Linux, bubblewrap).

`programs` runs them: the tests in one sandbox, the program in another, connected by pipes that carry literals only.
`isolation` starts the sandboxes, `system_calls` has the filter of system calls, `worker` is the code inside.
"""
