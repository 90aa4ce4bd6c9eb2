"""The engine: requests wait, are batched, and become answers on worker threads."""
