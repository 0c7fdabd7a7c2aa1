"""Part `theory` of study `flat_minima`."""
