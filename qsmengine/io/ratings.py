"""Format of a table of ratings: the verdict of a person on each session."""

from __future__ import annotations

COLUMNS = ("participant_id", "session_id", "verdict", "comment")
"""Columns of the table; `comment` may be absent."""
EXCLUDE = "exclude"
VERDICTS = ("accept", "doubt", EXCLUDE)
"""Verdicts; only "exclude" removes a session from an analysis."""
