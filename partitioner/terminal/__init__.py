"""The screen: console, tables, log lines, figures, and how a command starts and ends."""
