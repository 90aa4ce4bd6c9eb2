"""A model as a DAG of nodes and values, its groups, and its cuts."""
