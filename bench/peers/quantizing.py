"""What the quantizers' scripts share: prepared inputs, a process of its own for each method, one thread, and a trial run of the result."""
import json
import os
import re
import resource
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


def error_of(error):
    """The last line of what was thrown, with file names but not where the files lie on this machine."""
    message = f"{type(error).__name__}: {error}".strip().splitlines()[-1][:400]
    # names of nodes may begin with a slash too: only what starts with a folder of this machine is a path
    return re.sub(r"(?:/[\w.+-]+)+", lambda m: os.path.basename(m[0]) if os.path.exists("/" + m[0].split("/")[1]) else m[0], message)


def measure(quantize, model, samples, out, method):
    with tempfile.TemporaryDirectory() as scratch:
        source = readable(model, scratch)
        started = time.perf_counter()
        path = quantize(source, samples, out, method, scratch)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    try_run(path, samples)
    return {"method": method, "path": path, "seconds": seconds, "peakRssBytes": peak}


def in_own_process(work, method):
    """Forked after the imports, which take longer than quantizing a small model: its time and peak memory are its own."""
    with tempfile.NamedTemporaryFile("r") as answer:
        child = os.fork()
        if child == 0:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            try:
                result = work()
            except BaseException as error:
                result = {"method": method, "error": error_of(error)}
            with open(answer.name, "w") as file:
                json.dump(result, file)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            return {"method": method, "error": f"The process ended by signal {os.WTERMSIG(status)}."}
        return json.load(answer)


def main(load, quantize, default_methods):
    """SCRIPT MODEL INPUTS.npz OUT_FOLDER METHOD...: prints one JSON document. `load` imports the tool and gives its version."""
    model, inputs, out, *methods = sys.argv[1:]
    version = load()
    one_thread()
    samples = read_samples(inputs)
    results = [
        in_own_process(lambda method=method: measure(quantize, model, samples, out, method), method)
        for method in methods or default_methods
    ]
    print("\n" + json.dumps({"version": version, "results": results}))
