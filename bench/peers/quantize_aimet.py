"""AIMET-ONNX on prepared inputs: one file per setting, with wall time and peak memory of each.

Usage: quantize_aimet.py MODEL INPUTS.npz OUT_FOLDER METHOD...
Each METHOD (a key of `settings`) runs in a process of its own. INPUTS.npz as for quantize_onnxruntime.py. Prints one JSON document.
"""
import os

import quantizing

# 8-bit QuantSim, per-channel weights; cross-layer equalization (Nagel et al. 2019) folds batch normalization too
settings = {
    "cle": {"scheme": "min_max"},
    # ranges that minimize the quantization error of a histogram, AIMET's other scheme
    "cle-enhanced": {"scheme": "tf_enhanced"},
    "enhanced": {"scheme": "tf_enhanced", "equalize": False},
}


def quantize(model, samples, out, method, scratch):
    import onnx
    from aimet_onnx.batch_norm_fold import fold_all_batch_norms_to_weight
    from aimet_onnx.cross_layer_equalization import equalize_model
    from aimet_onnx.quantsim import QuantizationSimModel

    setting = settings[method]
    loaded = onnx.load(model)
    if setting.get("equalize", True):
        equalize_model(loaded)
    else:
        fold_all_batch_norms_to_weight(loaded)
    sim = QuantizationSimModel(loaded, quant_scheme=setting["scheme"], dummy_input=samples[0])
    sim.compute_encodings(samples)
    path = os.path.join(out, f"aimet-{method}.onnx")
    onnx.save(sim.to_onnx_qdq(prequantize_constants=True), path)
    return path


def load():
    import aimet_onnx.cross_layer_equalization
    import aimet_onnx.quantsim

    return aimet_onnx.__version__


if __name__ == "__main__":
    quantizing.main(load, quantize, list(settings))
