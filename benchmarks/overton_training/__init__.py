"""VISPA against one model trained to write whole Overton answers; see `__main__`."""
