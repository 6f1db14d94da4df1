"""Published losses of other methods, each one file on the interface of custom losses."""
