"""What the launcher starts: the few steps between an empty process and the user's entrypoint."""
