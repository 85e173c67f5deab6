"""What a run tells about its machine: parts of the wall time, utilisation, memory, slow steps, and profiler traces.

`telemetry` has the object that a run carries; `wall_time` splits the time of all processes of a run into parts,
`utilisation` compares its speed with the peak of the devices, `slow_steps` watches for steps that take too long, and
`profile` writes traces. None of them waits for the devices.
"""
