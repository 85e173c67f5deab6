"""The compiled program of a sparse autoencoder: `program.build_sae_program`."""
