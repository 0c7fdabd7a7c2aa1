"""Part `range` of study `analog`."""
