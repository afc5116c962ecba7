"""Trained weights: what is published, how it safely arrives, in which layouts, and the model file we keep it in.

Importing this package imports nothing: `published` and `store` stay free of torch, `layouts` and `modelfile` need it.
"""
