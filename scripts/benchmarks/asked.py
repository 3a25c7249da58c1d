"""What is asked of an engine on the cluster, and by whom."""

import json

CHAT = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, "stream": True})
CURL = ["curl", "-sS", "-o", "/dev/null", "-H", "content-type: application/json", "-d", CHAT]


def curl(proxy, *more):
    """Seconds to the first byte of a chat's answer, of a client beside the proxy."""
    url = f"{proxy.url}/v1/chat/completions"
    # curl prints what it measured; its body goes nowhere.
    return float(proxy.cluster.run(proxy.place, *CURL, *more, "-f", "-w", "%{time_starttransfer}", url))
