"""Laws of interpretability methods: sparse autoencoders."""
