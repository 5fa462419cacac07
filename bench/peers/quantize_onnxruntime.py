"""onnxruntime's own quantizer on prepared inputs: one file per setting, with wall time and peak memory of each.

Usage: quantize_onnxruntime.py MODEL INPUTS.npz OUT_FOLDER METHOD...
Each METHOD (a key of `settings`) runs in a process of its own, so that its peak memory is its own. INPUTS.npz holds one array per
sample and input, named "<index>:<input>". Prints one JSON document.
"""
import os

import quantizing

# all: QDQ, per channel, no reduced range. Activations uint8 and asymmetric, weights int8, but where it says otherwise.
settings = {
    "minmax": {"calibrate": "MinMax"},
    "entropy": {"calibrate": "Entropy"},
    "percentile": {"calibrate": "Percentile", "extra": {"CalibPercentile": 99.99}},
    # int8 activations as well: what onnxruntime recommends to try first on x86-64
    "minmax-s8s8": {"calibrate": "MinMax", "activation": "QInt8"},
    # only products and embeddings: for transformers, where softmax and normalization in 8 bits cost most
    "minmax-linear": {"calibrate": "MinMax", "operators": ["Conv", "ConvTranspose", "Gemm", "MatMul", "Gather"]},
    # averages of the samples' extremes in place of the extremes over all
    "minmax-average": {"calibrate": "MinMax", "extra": {"CalibMovingAverage": True}},
}


def quantize(model, samples, out, method, scratch):
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.samples = iter(samples)

        def get_next(self):
            return next(self.samples, None)

    setting = settings[method]
    prepared = quantizing.prepare(model, scratch)
    path = os.path.join(out, f"onnxruntime-{method}.onnx")
    quantize_static(
        prepared, path, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=False,
        activation_type=getattr(QuantType, setting.get("activation", "QUInt8")), weight_type=QuantType.QInt8,
        calibrate_method=getattr(CalibrationMethod, setting["calibrate"]), extra_options=setting.get("extra", {}),
        op_types_to_quantize=setting.get("operators"),
    )
    return path


def load():
    import onnxruntime.quantization
    import onnxruntime.quantization.shape_inference

    return onnxruntime.__version__


if __name__ == "__main__":
    quantizing.main(load, quantize, list(settings))
