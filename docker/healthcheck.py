"""Exit 0 if the server in this container answers `/health` and its worker is alive."""

import json
import os
import ssl
import sys
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

scheme = "https" if os.environ.get("SSL_CERTFILE") else "http"
url = f"{scheme}://127.0.0.1:{os.environ.get('PORT', '8000')}/health"
# The certificate is for the outside name, not for 127.0.0.1.
context = ssl._create_unverified_context() if scheme == "https" else None
# A proxy that is set for this container knows no way back into it.
opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))
try:
    with opener.open(url, timeout=4) as answer:
        health = json.load(answer)
except OSError as error:
    sys.exit(f"{url}: {error}")
sys.exit(0 if health["worker_alive"] else "the worker is not alive")
