"""Cohorts: a BIDS dataset in, derivatives out, a ledger between, on one machine or many."""
