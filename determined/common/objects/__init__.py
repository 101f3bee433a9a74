"""Checkpoints in object stores: where they are, how bytes get there and back, what is whole and what is left over."""
