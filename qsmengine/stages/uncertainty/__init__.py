"""Standard deviations of maps."""
