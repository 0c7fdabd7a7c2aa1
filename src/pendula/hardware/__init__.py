"""Networks on physical devices: analog memories, training for them and with them."""
