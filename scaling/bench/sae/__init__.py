"""Training of sparse autoencoders beside SAELens: `compare` measures both, `lens_process` is the process of SAELens."""
