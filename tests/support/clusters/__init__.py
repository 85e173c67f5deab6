"""Stand-ins for clusters, and the clouds' own tools where an environment has them."""
