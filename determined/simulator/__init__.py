"""Searches on a virtual clock: the real engine and real search methods, with trials that are only computed."""
