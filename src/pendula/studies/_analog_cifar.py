"""Part `cifar` of study `analog`."""
