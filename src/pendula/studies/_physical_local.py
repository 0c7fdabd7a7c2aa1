"""Part `local` of study `physical`."""
