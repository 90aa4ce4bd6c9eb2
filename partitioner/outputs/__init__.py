"""What a model's outputs mean: scores of classes, or boxes of things that were found."""
