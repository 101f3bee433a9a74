"""Values and rules of the field: no input or output, no clock, no randomness of their own."""
