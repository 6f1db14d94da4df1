"""Data sets: records (`info`), locations (`files`), reading (`load`), and memory (`image_set`).

Nothing is imported here, so `info` and `files` stay free of torch and numpy.
"""
