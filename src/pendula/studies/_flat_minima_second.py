"""Part `second_order` of study `flat_minima`."""
