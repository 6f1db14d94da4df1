"""One module a format: each reads a folder that `files.locate` found. Heavy imports wait for
use.
"""
