"""Laws of what follows pre-training: fine-tuning on other data, and optimisation against a reward model."""
