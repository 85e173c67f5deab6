"""The Python interface of sweeps, of which the commands are thin callers; `import sweeps` exports it.

`request` turns what the user named (a known sweep, FILE.py:NAME, files of run configs, a function or a list of
RunConfig) into runs on a corpus. `plan`, `launch` and `status` are the functions of that name. `handle` is the Sweep
that a launch returns, to watch, wait for and stop it, and `plan_table` formats plans.
"""
