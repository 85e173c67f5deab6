"""Tests, in the folders of what they test; what several need is in tests/support."""
