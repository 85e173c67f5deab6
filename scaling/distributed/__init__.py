"""One run on many devices and hosts.

`sharding` makes the device mesh and says which axis of an array lies on which axis of the mesh; `hosts` starts the
processes of a run on several hosts; `collectives` exchanges values between them.
"""
