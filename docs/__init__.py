"""Code of the documentation: `generate` fills the pages of the site, `measurements` makes their results."""
