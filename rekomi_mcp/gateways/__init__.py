"""Doors to other companies. `stripe.py` is the only file that imports the stripe package."""
