"""Laws of sparse autoencoders by model: `exponents` fits and compares them, `text` writes them as rows and lines."""
