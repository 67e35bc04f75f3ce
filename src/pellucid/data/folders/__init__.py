"""Data sets that are folders: one a class, or images with masks beside them."""
