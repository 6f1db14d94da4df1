"""One module per format; each reads a folder that `files.locate` found.

Libraries that are slow to import are imported when they are used.
"""
