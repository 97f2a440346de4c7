"""Looks into a dataset: spreads of what the index knows, examples of rejects, a contact sheet, and a page for the browser."""
