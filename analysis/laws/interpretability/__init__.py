"""Laws of tools that interpret models: sparse autoencoders."""
