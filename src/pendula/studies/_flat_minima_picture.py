"""Part `picture` of study `flat_minima`."""
