"""Steps from each version of the schema to the next."""

HEAD = "0001"
"""The newest step; a test compares it with the scripts."""
