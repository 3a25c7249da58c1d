"""A proxy as it is first thought of, a page long: FastAPI in front, httpx behind. `fastapi_proxy.py ENGINE_URL PORT`

What this program is asked to do in Python, but for the starting and stopping: every request is passed on as it comes, and the
time of the last one is kept.
"""

import sys
import time

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]
# What is between two neighbours, and not for who comes after.
HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host"}

app = FastAPI()
# As many connections as are needed: its own default is 100.
limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
client = httpx.AsyncClient(base_url=sys.argv[1], timeout=None, limits=limits)
last_access_time = time.time()


@app.get("/health")
async def health():
    return {"status": "ok", "idle_s": time.time() - last_access_time}


@app.api_route("/{path:path}", methods=METHODS)
async def passed_on(path: str, request: Request):
    global last_access_time
    last_access_time = time.time()
    headers = [(name, value) for name, value in request.headers.raw if name.decode().lower() not in HOP]
    asked = client.build_request(
        request.method, "/" + path, params=request.query_params, headers=headers, content=await request.body()
    )
    answer = await client.send(asked, stream=True)
    kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
    return StreamingResponse(
        answer.aiter_raw(), status_code=answer.status_code, headers=kept, background=BackgroundTask(answer.aclose)
    )


def main():
    # With uvloop and httptools, which uvicorn takes where they are installed.
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=False, log_level="warning")


main()
