"""The command `splitpoint`: flags in, reports out; one file a subcommand."""
