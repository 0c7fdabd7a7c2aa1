"""Part `quantised` of study `physical`."""
