"""A modality outside the package: its description and its command."""
