"""Times onnx.load and onnx.save of the Python package, one command a line on stdin, one JSON answer a line on stdout.

    load PATH        reads the model, keeps it
    save PATH        writes the kept model
Times are of the call alone, in milliseconds.
"""
import gc
import json
import sys
import time

import onnx

kept = None
print(json.dumps({"version": onnx.__version__}), flush=True)
for line in sys.stdin:
    command, path = line.rstrip("\n").split(" ", 1)
    if command == "load":
        kept = None
    gc.collect()
    start = time.perf_counter()
    if command == "load":
        kept = onnx.load(path)
    else:
        onnx.save(kept, path)
    print(json.dumps({"ms": (time.perf_counter() - start) * 1000}), flush=True)
