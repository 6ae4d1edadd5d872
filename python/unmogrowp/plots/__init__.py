"""Numbers in, Matplotlib axes out: pictures of credit, paths and moves (extra `viz`)."""
