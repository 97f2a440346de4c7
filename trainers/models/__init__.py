"""Architectures: each file is one readable network over the parts of `trainers.nn`."""
