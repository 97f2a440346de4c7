"""Who is visible and who is predicted: plans of token indices, drawn by key."""
