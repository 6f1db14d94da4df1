"""Distilled sets made elsewhere: what their files look like, and how they become a
`SyntheticSet`.
"""
