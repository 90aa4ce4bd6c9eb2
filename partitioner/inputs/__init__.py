"""Arrays, images and labels from files."""
