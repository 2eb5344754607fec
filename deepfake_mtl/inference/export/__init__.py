"""A trained detector as a folder to hand out."""
