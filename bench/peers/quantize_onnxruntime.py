"""onnxruntime's own quantizer on prepared inputs: one file per calibration method, with wall time and peak memory of each.

Usage: quantize_onnxruntime.py MODEL INPUTS.npz OUT_FOLDER METHOD...
Each METHOD runs in a process of its own, so that its peak memory is its own. INPUTS.npz holds one array per sample and input, named
"<index>:<input>". Prints one JSON document.
"""
import json
import os
import resource
import subprocess
import sys
import time


def quantize(model, inputs, out, method):
    import numpy as np
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            arrays = np.load(inputs)
            samples = {}
            for key in arrays.files:
                index, name = key.split(":", 1)
                samples.setdefault(int(index), {})[name] = arrays[key]
            self.samples = iter([samples[i] for i in sorted(samples)])

        def get_next(self):
            return next(self.samples, None)

    methods = {"minmax": CalibrationMethod.MinMax, "entropy": CalibrationMethod.Entropy, "percentile": CalibrationMethod.Percentile}
    started = time.perf_counter()
    prepared = os.path.join(out, f"{method}.prepared.onnx")
    import onnx.version_converter

    loaded = onnx.load(model)
    if loaded.opset_import[0].version < 13:  # per-channel scales need opset 13; its own pre-processing does not raise it
        model = os.path.join(out, f"{method}.opset17.onnx")
        onnx.save(onnx.version_converter.convert_version(loaded, 17), model)
    quant_pre_process(model, prepared, skip_symbolic_shape=True)
    path = os.path.join(out, f"onnxruntime-{method}.onnx")
    extra = {"CalibPercentile": 99.99} if method == "percentile" else {}
    quantize_static(
        prepared, path, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8, calibrate_method=methods[method], extra_options=extra,
    )
    os.remove(prepared)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"method": method, "path": path, "seconds": time.perf_counter() - started, "peakRssBytes": peak}


def main():
    model, inputs, out, *methods = sys.argv[1:]
    if len(methods) == 1:
        print(json.dumps(quantize(model, inputs, out, methods[0])))
        return
    import onnxruntime

    results = []
    for method in methods:
        run = subprocess.run([sys.executable, __file__, model, inputs, out, method], capture_output=True, text=True)
        last = run.stdout.strip().splitlines()[-1:] or [""]
        results.append(json.loads(last[0]) if run.returncode == 0 and last[0].startswith("{") else {"method": method, "error": (run.stderr.strip().splitlines() or ["failed"])[-1]})
    print(json.dumps({"version": onnxruntime.__version__, "results": results}))


main()
