"""Part `vowels` of study `physical`."""
