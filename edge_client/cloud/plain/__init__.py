"""Standard servers: what they serve of a bundle, and requests without a stream."""
