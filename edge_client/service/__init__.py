"""The edge as a service of its machine: a unit of systemd, what it may reach, and how it comes and goes."""
