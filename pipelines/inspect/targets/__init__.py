"""Looks at stored targets: a list of what they are, and on every card what a teacher was shown and what it said."""
