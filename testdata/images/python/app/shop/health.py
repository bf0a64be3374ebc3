"""The image's health check: the application answers and its volume can be written."""

import os
import sys
import tempfile
import urllib.request

with urllib.request.urlopen("http://127.0.0.1:8000/version", timeout=3) as reply:
    if reply.status != 200:
        sys.exit(1)
with tempfile.TemporaryFile(dir=os.environ["DATA_DIR"]) as file:
    file.write(b"ok")
