"""What is predicted: each file turns a batch into the wanted values of every token."""
