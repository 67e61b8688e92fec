"""What a candidate is worth: noise banks, features, distances, and where the images are made."""
