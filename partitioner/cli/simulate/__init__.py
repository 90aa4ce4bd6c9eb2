"""The subcommands of `splitpoint simulate`."""
