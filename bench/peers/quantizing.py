"""What the quantizers' scripts share: prepared inputs, a process of its own for each method, one thread, and a trial run of the result."""
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time

# read by OpenMP and BLAS when numpy or torch are first imported
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"


def one_thread():
    """onnxruntime sessions that a tool makes without asking take one thread."""
    import onnxruntime

    made = onnxruntime.InferenceSession.__init__

    def init(self, path_or_bytes, sess_options=None, *args, **kwargs):
        sess_options = sess_options or onnxruntime.SessionOptions()
        sess_options.intra_op_num_threads = 1
        made(self, path_or_bytes, sess_options, *args, **kwargs)

    onnxruntime.InferenceSession.__init__ = init


def read_samples(inputs):
    """INPUTS.npz, arrays named "<index>:<input>", as one dictionary a sample."""
    import numpy as np

    arrays = np.load(inputs)
    samples = {}
    for key in arrays.files:
        index, name = key.split(":", 1)
        samples.setdefault(int(index), {})[name] = arrays[key]
    return [samples[i] for i in sorted(samples)]


def readable(model, scratch):
    """The path of a model that every tool here reads, with nothing else changed: opset 13 or later, which per-channel scales need and
    no tool raises by itself, and no initializers among the graph's inputs (old files list them there)."""
    import onnx
    import onnx.version_converter

    loaded = onnx.load(model)
    weights = {one.name for one in loaded.graph.initializer}
    inputs = [one for one in loaded.graph.input if one.name not in weights]
    if loaded.opset_import[0].version >= 13 and len(inputs) == len(loaded.graph.input):
        return model
    if loaded.opset_import[0].version < 13:
        loaded = onnx.version_converter.convert_version(loaded, 17)
    loaded.ir_version = max(loaded.ir_version, 8)
    del loaded.graph.input[:]
    loaded.graph.input.extend(inputs)
    path = os.path.join(scratch, "readable.onnx")
    onnx.save(loaded, path)
    return path


def prepare(model, scratch):
    """onnxruntime's own preparation for quantization: shapes inferred, batch normalization folded."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    path = os.path.join(scratch, "prepared.onnx")
    quant_pre_process(model, path, skip_symbolic_shape=True)
    return path


def try_run(path, samples):
    """Some graphs load nowhere or crash the runtime: that happens here, in a process of its own."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for output in session.run(None, samples[0]):
        if output.dtype.kind == "f" and not np.isfinite(output).all():
            raise ValueError("The quantized model's outputs are not finite.")


def error_of(run):
    if run.returncode < 0:
        return f"The process ended by signal {-run.returncode}."
    message = (run.stderr.strip().splitlines() or ["failed"])[-1][:400]
    # file names, not where they lie on this machine; names of nodes may begin with a slash too
    return re.sub(r"(?:/[\w.+-]+)+", lambda m: os.path.basename(m[0]) if os.path.exists("/" + m[0].split("/")[1]) else m[0], message)


def run_one(quantize, model, inputs, out, method):
    one_thread()
    samples = read_samples(inputs)
    with tempfile.TemporaryDirectory() as scratch:
        source = readable(model, scratch)
        started = time.perf_counter()
        path = quantize(source, samples, out, method, scratch)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    try_run(path, samples)
    print("\n" + json.dumps({"method": method, "path": path, "seconds": seconds, "peakRssBytes": peak}))


def main(quantize, version, default_methods):
    """SCRIPT MODEL INPUTS.npz OUT_FOLDER METHOD...: prints one JSON document."""
    if sys.argv[1] == "--one":
        run_one(quantize, *sys.argv[2:])
        return
    model, inputs, out, *methods = sys.argv[1:]
    results = []
    for method in methods or default_methods:
        command = [sys.executable, sys.argv[0], "--one", model, inputs, out, method]
        run = subprocess.run(command, capture_output=True, text=True)
        last = run.stdout.strip().splitlines()[-1:] or [""]
        done = run.returncode == 0 and last[0].startswith("{")
        results.append(json.loads(last[0]) if done else {"method": method, "error": error_of(run)})
    print(json.dumps({"version": version(), "results": results}))
