"""Runs of a sweep as tasks on the nodes of a cluster of one's own, for the engines `slurm` and `ray`.

`cluster_tasks` divides the runs of a launch into tasks, follows them and submits again what was lost; `node_worker`
runs a task on a node.
"""
