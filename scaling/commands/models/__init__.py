"""Commands that look into models and exchange them: attention, activations, coordinates, export and import."""
