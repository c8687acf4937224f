"""grpcio on either side, for the tests: identity serializers, so nothing is generated.

    peer.py serve                 prints its port; Echo answers, Stall waits, Stream sends one message and waits
    peer.py call PORT METHOD MS   prints the code and how long it took, in milliseconds
"""

import sys
import threading
import time
from concurrent import futures

import grpc


def serve():
    def echo(request, context):
        left = context.time_remaining()
        context.set_trailing_metadata((("left-ms", str(0 if left is None else int(left * 1000))),))
        return request

    def stall(request, context):
        over = threading.Event()
        context.add_callback(over.set)
        over.wait(20)
        print("ended", flush=True)
        return b""

    def stream(request, context):
        yield b"first"
        stall(request, context)

    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(echo),
        "Stall": grpc.unary_unary_rpc_method_handler(stall),
        "Stream": grpc.unary_stream_rpc_method_handler(stream),
    }
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Bytes", handlers),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(0)


def call(port, method, milliseconds):
    channel = grpc.insecure_channel("127.0.0.1:" + port)
    grpc.channel_ready_future(channel).result(10)
    began = time.monotonic()
    timeout = float(milliseconds) / 1000
    try:
        if method == "Stream":
            answers = channel.stream_stream("/test.Bytes/Stream")(iter([b"a", b"b"]), timeout=timeout)
            print(b",".join(answers).decode())
        else:
            print(channel.unary_unary("/test.Bytes/" + method)(b"hello", timeout=timeout).decode())
        print("OK")
    except grpc.RpcError as error:
        print(error.code().name)
    print(int((time.monotonic() - began) * 1000))


if sys.argv[1] == "serve":
    serve()
else:
    call(*sys.argv[2:])
