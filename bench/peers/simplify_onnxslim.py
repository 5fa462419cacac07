"""Simplifies MODEL into OUT with onnxslim, as its own command does; prints one JSON answer.

Usage: simplify_onnxslim.py MODEL OUT
`ms` is the call alone, from file to file, after the imports.
"""
import json
import sys
import time

import onnxslim

start = time.perf_counter()
onnxslim.slim(sys.argv[1], sys.argv[2])
print(json.dumps({"ms": (time.perf_counter() - start) * 1000, "version": onnxslim.__version__}))
