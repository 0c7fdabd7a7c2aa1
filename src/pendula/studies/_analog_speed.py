"""Part `speed` of study `analog`."""
