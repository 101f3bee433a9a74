"""Runs on a Ray cluster: Ray places them and finds machines for them, one detached actor keeps each of them.

`launcher` and `bridge` are the master's side and do not import Ray. `driver` is a process of its own beside the master,
the only one that talks to the cluster. `keeper` is what runs on the nodes.
"""
