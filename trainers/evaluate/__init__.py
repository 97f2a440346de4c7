"""Measuring a trained network: what its features know (kNN, linear probe), and what it imagines (reconstruction)."""
