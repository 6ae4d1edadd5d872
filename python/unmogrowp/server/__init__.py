"""The server: a supervisor, the ingest process with its routes, and the store process.

Processes talk over pipes and one Unix socket; no event is ever held in Python.
"""
