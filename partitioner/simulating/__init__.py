"""What if: plans over ranges of links and loads, frames over a trace, fleets of devices on one cloud."""
