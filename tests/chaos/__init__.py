"""Break a server on purpose and see whether anything is lost, doubled or wrong.

`python -m chaos` runs every fault at full size and writes docs/durability.md.
"""
