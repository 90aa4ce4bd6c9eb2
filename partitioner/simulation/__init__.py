"""What if: frames over traces, grids of links and loads, fleets on one cloud."""
