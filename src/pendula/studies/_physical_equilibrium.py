"""Part `equilibrium` of study `physical`."""
