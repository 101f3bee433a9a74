"""Entrypoints that start a trial as several processes: ``torch_distributed`` and ``multi``."""
