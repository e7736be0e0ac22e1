"""The independent judge: what the charge points know against what the product says."""
