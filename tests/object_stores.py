"""A store of objects on this machine, as a bucket that a test has to itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def own_bucket(name: str) -> Iterator[str]:
    """Start a server, make a bucket that is reached as the user's environment says, and remove both."""
    s3fs = pytest.importorskip("s3fs", reason="the extra 's3' is not installed")
    moto_server = pytest.importorskip("moto.server", reason="moto is not installed")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        s3fs.S3FileSystem.clear_instance_cache()
        store = s3fs.S3FileSystem()
        store.mkdir(name)
        yield f"s3://{name}"
        # All servers of a process show the same objects, so what is left here would be found by the next.
        store.rm(name, recursive=True)
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()
