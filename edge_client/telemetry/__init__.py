"""What the edge tells of itself: health, metrics, reports to the cloud."""
