"""The one process that knows everything: it serves the API, hosts built-in methods and drives the launcher."""
