"""Values of a model: the sizes that the data decide, and inputs that it can be run on."""
