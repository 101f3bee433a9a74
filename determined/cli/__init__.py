"""The command ``det``."""
