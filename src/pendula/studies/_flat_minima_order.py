"""Part `order` of study `flat_minima`."""
