"""Launching a sweep: it is checked, planned once, trained on an engine, evaluated and summarised.

`launch` runs a sweep with `LaunchOptions`, `dry_run` shows what an engine would do. check.py and check_topology.py test
a sweep before it is launched; progress.py shows how far a launch is.
"""
