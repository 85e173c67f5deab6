"""Configs, stores, trainers and clusters that several tests use."""
