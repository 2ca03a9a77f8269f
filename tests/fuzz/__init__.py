"""Fuzz tests of everything that reads what users bring: the same targets for CI and for `make fuzz`."""
