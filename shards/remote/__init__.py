"""Datasets that stand elsewhere: how their files are asked for, waited for, and kept on this machine."""
