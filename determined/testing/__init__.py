"""Help for tests: contract suites and stand-ins for the other side of a wire."""
