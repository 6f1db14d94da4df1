"""Data sets: what they are (`info`), where they lie (`files`), how they are read (`load`) and held
(`image_set`).

Nothing is imported here, so that `info` and `files` stay free of torch and numpy.
"""
