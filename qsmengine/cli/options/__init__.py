"""Options shared by several commands, and parsers of their values.

An option with the same meaning in two commands is declared here once. These modules import no command.
"""
