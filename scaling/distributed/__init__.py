"""Training of one run on many devices and hosts.

`sharding` makes the device mesh and maps the axes of arrays to axes of the mesh; `hosts` starts the processes of a run
on several hosts; `collectives` exchanges values between hosts.
"""
