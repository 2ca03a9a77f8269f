"""Writers of documents, pictures and packages, from the registry, the command line and the bundled data."""
