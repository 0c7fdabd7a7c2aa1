"""Part `mnist` of study `analog`."""
