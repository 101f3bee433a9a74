"""How runs of trials become processes: a small protocol and what implements it."""
