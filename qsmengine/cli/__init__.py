"""The command line: one thin file a command; what a command does lives below."""
