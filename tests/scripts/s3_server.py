"""A server that speaks S3's protocol, moto's, with orders on standard input; each is answered on standard output.

``away``: stop listening. ``back``: listen again on the same port, with everything still there. ``busy N``: answer the
next N requests with 503. ``hold METHOD N``: let N more requests of that method pass, and let those after them wait for
ever; notes of unfinished uploads do not count. ``free``: hold no more. The end of standard input ends the process. With
``users`` as an argument, only the keys that are printed at the beginning may do anything. Every request is told on
standard error: ``held`` or ``done``, its method, path and query.
"""

import os
import sys
import threading

if "users" in sys.argv:
    os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "3"

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUSY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object, **__: object) -> None:
        pass


class Front:
    """What is before moto."""

    def __init__(self) -> None:
        self.app = DomainDispatcherApplication(create_backend_app)
        self.lock = threading.Lock()
        self.busy = 0
        self.method, self.left = "", 0

    def __call__(self, environ, start_response):
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        line = f"{method} {path}?{environ['QUERY_STRING']}"
        with self.lock:
            busy, self.busy = self.busy > 0, max(self.busy - 1, 0)
            counts = method == self.method and "/.partial/" not in path
            self.left -= counts
            held = counts and self.left < 0
        if busy:
            start_response("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(BUSY)))])
            return [BUSY]
        if held:
            print("held", line, file=sys.stderr, flush=True)
            threading.Event().wait()
        answer = self.app(environ, start_response)
        print("done", line, file=sys.stderr, flush=True)
        return answer


class Server:
    def __init__(self, front: Front) -> None:
        self.front, self.port = front, 0

    def start(self) -> None:
        self.server = make_server("127.0.0.1", self.port, self.front, threaded=True, request_handler=Quiet)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def make_user(url: str) -> str:
    """Key and secret of the only user."""
    options = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1", "endpoint_url": url}
    iam = boto3.client("iam", **options)
    iam.create_user(UserName="u")
    key = iam.create_access_key(UserName="u")["AccessKey"]
    policy = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=policy)
    return f"{key['AccessKeyId']} {key['SecretAccessKey']}"


def main() -> None:
    front = Front()
    server = Server(front)
    server.start()
    keys = make_user(f"http://127.0.0.1:{server.port}") if "users" in sys.argv else "any any"
    print(server.port, keys, flush=True)
    for line in sys.stdin:
        order, *words = line.split()
        if order == "away":
            server.stop()
        elif order == "back":
            server.start()
        elif order == "busy":
            front.busy = int(words[0])
        elif order == "hold":
            front.method, front.left = words[0], int(words[1])
        elif order == "free":
            front.method = ""
        print(order, flush=True)


main()
