"""llama.cpp's own HTTP server, from the wheel `xllamacpp`.

usage: server.py --model FILE.gguf [--host HOST] [--port PORT] [--name NAME] [--api-key KEY] [--embed]

With --api-key, or LLAMA_API_KEY in the environment, its API asks for that key. SIGTERM and SIGINT end it at once, open streams too:
llama.cpp's own orderly stop waits for them.
"""

import argparse
import os
import signal
import sys

import xllamacpp


def parameters(args):
    params = xllamacpp.CommonParams()
    params.model.path = args.model
    params.model_alias = {args.name}
    params.hostnames = [args.host]
    params.port = args.port
    params.n_ctx = 32768
    params.n_parallel = 4
    params.cpuparams.n_threads = 1
    params.endpoint_metrics = True
    if key := args.api_key or os.environ.get("LLAMA_API_KEY"):
        params.api_keys = [key]
    if args.embed:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return params


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--name", default="tiny")
    parser.add_argument("--api-key")
    parser.add_argument("--embed", action="store_true")
    args = parser.parse_args()
    ends = {signal.SIGTERM, signal.SIGINT}
    # Before the server starts its threads, so that they leave these signals to us.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    server = xllamacpp.Server(parameters(args))
    print(f"listening on {server.listening_address}", file=sys.stderr, flush=True)
    received = signal.sigwait(ends)
    print(f"{signal.Signals(received).name}, leaving", file=sys.stderr, flush=True)
    os._exit(0)


main()
