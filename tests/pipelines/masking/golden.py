"""One plan of every masking, as drawn when it was first released: visible and target tokens by modality."""

GOLDEN: dict = {}
