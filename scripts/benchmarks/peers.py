"""The proxies that ours is measured beside, each in front of an engine of this machine.

All are told the same: one worker, connections to the engine kept, nothing buffered, no log of requests. Ours is not told
anything.
"""

import functools
import http.client
import os
import shutil
import socket
import subprocess
import sys
import time

from benchmarks import usage
from benchmarks.cluster import ROOT, run

# Connections to the engine that are kept; those of the clients, with whatever is to spare.
KEPT = 1100
CONNECTIONS = 8192

NGINX = """
daemon off;
user {user};
worker_processes 1;
worker_rlimit_nofile {descriptors};
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  client_max_body_size 0;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  upstream engine {{
    server {engine};
    keepalive {kept};
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 1h;
    }}
  }}
}}
"""

HAPROXY = """
global
  maxconn {connections}
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  http-reuse always
frontend in
  bind 127.0.0.1:{port} backlog 4096
  default_backend engine
backend engine
  server engine {engine}
"""

LITELLM = """
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: http://{engine}/v1
      api_key: none
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_healthy(process, port, path, patience_s):
    """Until a GET of that path is answered 200; gives the fault, if there is one."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if process.poll() is not None:
            return f"it ended at once, with {process.returncode}"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return None
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    return f"it did not answer within {patience_s} s"


class Peer:
    """A running proxy that listens on `port`; what it says is kept in the folder."""

    def __init__(self, folder, name, command, port, health="/health", patience_s=30, environment=None):
        self.name, self.port = name, port
        self.url = f"http://127.0.0.1:{port}"
        said = folder / f"{name}-{port}.log"
        with said.open("w") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        fault = wait_until_healthy(self.process, port, health, patience_s)
        if fault:
            self.end()
            sys.exit(f"{name}: {fault}:\n{said.read_text()[-4000:]}")

    def pids(self):
        return usage.descendants(self.process.pid)

    def end(self):
        self.process.terminate()
        self.process.wait()


def command_of(name):
    """The path of a program of Debian's, which is installed if it is missing."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    if not shutil.which(name, path=path):
        run(f"{ROOT}/scripts/peers", "debian")
    return shutil.which(name, path=path)


@functools.cache
def environment_of(name):
    """The folder of a Python environment, which is made if it is missing."""
    return run(f"{ROOT}/scripts/peers", name).strip().splitlines()[-1]


def descriptors():
    """As many as we may have, for what is started from here, too."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def nginx_command(folder, engine, port):
    """Writes its configuration; gives the words that run it in the foreground."""
    file = folder / f"nginx-{port}.conf"
    user = "root" if os.getuid() == 0 else "nobody"
    file.write_text(NGINX.format(
        folder=folder, engine=engine, port=port, kept=KEPT, connections=CONNECTIONS, user=user, descriptors=4 * CONNECTIONS,
    ))
    return [command_of("nginx"), "-e", f"{folder}/nginx-start.log", "-c", str(file)]


def nginx(setting, engine, under=()):
    """With words before it (of a program that counts), it is one process; else a master and its worker, as always."""
    port = free_port()
    alone = ["-g", "master_process off;"] if under else []
    return Peer(setting.folder, "nginx", [*under, *nginx_command(setting.folder, engine, port), *alone], port)


def haproxy(setting, engine):
    port = free_port()
    file = setting.folder / "haproxy.cfg"
    file.write_text(HAPROXY.format(engine=engine, port=port, connections=CONNECTIONS))
    return Peer(setting.folder, "HAProxy", [command_of("haproxy"), "-db", "-f", str(file)], port)


def litellm(setting, engine, model):
    port, folder = free_port(), environment_of("litellm")
    file = setting.folder / "litellm.yaml"
    file.write_text(LITELLM.format(engine=engine, model=model))
    command = [f"{folder}/bin/litellm", "--config", str(file), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1",
               "--telemetry", "False"]
    environment = {
        **os.environ,
        # Otherwise it asks the network for prices.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        # No key is asked for: ours asks for none, either.
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    return Peer(setting.folder, "LiteLLM", command, port, "/health/liveliness", 120, environment)


def fastapi(setting, engine):
    port, folder = free_port(), environment_of("fastapi")
    program = ROOT / "scripts/benchmarks/programs/fastapi_proxy.py"
    command = [f"{folder}/bin/python", str(program), f"http://{engine}", str(port)]
    return Peer(setting.folder, "FastAPI", command, port)
