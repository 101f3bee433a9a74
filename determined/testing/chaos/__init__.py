"""Searches under faults: ``python -m determined.testing.chaos --seed S --minutes M``.

A real master, real search runners and real trials behind a network that fails, killed and paused as a seed says. The
searches are deterministic, so whatever happens on the way, each must end exactly as in a quiet run.
"""
