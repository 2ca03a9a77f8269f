"""Masks: where there is tissue whose phase can be used."""
