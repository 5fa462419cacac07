"""NNCF's post-training quantization (ONNX backend) on prepared inputs: one file per setting, with wall time and peak memory of each.

Usage: quantize_nncf.py MODEL INPUTS.npz OUT_FOLDER METHOD...
METHOD is a key of `settings`, "-transformer" after it names that type of model. Each runs in a process of its own. INPUTS.npz as for
quantize_onnxruntime.py. Prints one JSON document.
"""
import os

import quantizing

os.environ["NNCF_CI"] = "1"  # it reports its use over the network otherwise

# NNCF's defaults: target device ANY, preset PERFORMANCE (symmetric; for transformers MIXED), fast bias correction
settings = {
    "default": {},
    "full-bias": {"fast_bias_correction": False},
    # asymmetric activations: what NNCF advises where the default loses accuracy
    "mixed": {"preset": "MIXED"},
    "mixed-full-bias": {"preset": "MIXED", "fast_bias_correction": False},
}


def quantize(model, samples, out, method, scratch):
    import nncf
    import onnx

    setting = dict(settings[method.removesuffix("-transformer")])
    if "preset" in setting:
        setting["preset"] = nncf.QuantizationPreset[setting["preset"]]
    if method.endswith("-transformer"):
        setting["model_type"] = nncf.ModelType.TRANSFORMER
    prepared = quantizing.prepare(model, scratch)
    dataset = nncf.Dataset(samples)
    quantized = nncf.quantize(onnx.load(prepared), dataset, subset_size=len(samples), **setting)
    path = os.path.join(out, f"nncf-{method}.onnx")
    onnx.save(quantized, path)
    return path


def load():
    import nncf
    import nncf.onnx
    import onnxruntime.quantization.shape_inference

    return nncf.__version__


if __name__ == "__main__":
    quantizing.main(load, quantize, list(settings))
