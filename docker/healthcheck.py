"""Exit 0 if the server in this container answers `/health` and its worker is alive."""

import json
import os
import ssl
import sys
import urllib.request

scheme = "https" if os.environ.get("SSL_CERTFILE") else "http"
url = f"{scheme}://127.0.0.1:{os.environ.get('PORT', '8000')}/health"
# The certificate is for the outside name, not for 127.0.0.1.
context = ssl._create_unverified_context() if scheme == "https" else None
try:
    with urllib.request.urlopen(url, timeout=4, context=context) as answer:
        health = json.load(answer)
except OSError as error:
    sys.exit(f"{url}: {error}")
sys.exit(0 if health["worker_alive"] else "the worker is not alive")
