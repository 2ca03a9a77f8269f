"""Linear operators: arrays in, arrays out, adjoints where they are asked for."""
