"""Stores behind a URL: objects are the store, a folder on each machine its copy."""
