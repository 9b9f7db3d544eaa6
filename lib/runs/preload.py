"""Preload of local schedulers and workers; light, because Dask restarts no worker that dies while it starts."""


def dask_setup(node):
    """Stop the HTTP server, which Dask always starts and which would let anybody in; Dask calls this by its name."""
    node.http_server.stop()
