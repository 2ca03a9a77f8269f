"""Tables and group models: regions to tables, tables to statistics. Reads derivatives from disk."""
