"""Videos: what a file says about itself, where its clips begin and end, and what is stored of them."""
