"""What tests share: models, fakes, calls and servers."""
