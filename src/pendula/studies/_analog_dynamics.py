"""Part `dynamics` of study `analog`."""
