"""Part `aware` of study `physical`."""
