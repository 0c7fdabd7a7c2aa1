"""Part `devices` of study `analog`."""
