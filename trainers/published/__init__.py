"""Weights published by others: one module for each code base says how its names and layouts become ours."""
