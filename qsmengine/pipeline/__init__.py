"""One session from series to maps: configuration, plan, run, derivatives with their provenance."""
