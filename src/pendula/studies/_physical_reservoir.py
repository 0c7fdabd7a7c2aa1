"""Part `reservoir` of study `physical`."""
