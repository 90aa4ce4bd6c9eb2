"""Pictures: a plan, a Pareto front, a simulated trace."""
