"""One module per subcommand of ``qsmengine``.

Each defines the command's options and calls the package that does the work, imported inside the function so
that ``--help`` starts fast. Only ``cli.lazy`` and the demonstration import these modules.
"""
