"""Measurements of the training machinery: speed, shared prefixes, plans, injected faults, compilation for TPUs."""
