"""Laws of post-training: fine-tuning on other data, and optimisation against a reward model."""
