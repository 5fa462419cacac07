"""What onnxruntime gives on an x86-64 processor of the instruction sets this process sees, for layers of extreme integers.

Run it under an emulator without VNNI (README.md) and onnxruntime takes its AVX2 kernels, whose sums of two products saturate
in 16 bits.
Every layer is a quantized model in QDQ form, as the toolkit writes them; onnxruntime fuses it to its integer kernel.
"""

import argparse
import base64
import json
import math

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

CONVOLUTIONS = [
    # name, input, filters, kernel, attributes
    ("conv 1x1", [1, 20, 3, 3], 16, [1, 1], {}),
    ("conv 1x1, odd channels", [1, 7, 3, 2], 5, [1, 1], {}),
    ("conv 1x1, strided", [1, 6, 5, 5], 4, [1, 1], {"strides": [2, 2]}),
    ("conv 3x3, channels in fours", [1, 8, 4, 4], 16, [3, 3], {"pads": [1, 1, 1, 1]}),
    ("conv 3x3, three channels", [1, 3, 6, 6], 8, [3, 3], {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("conv 3x3, padded on one side", [1, 3, 5, 5], 24, [3, 3], {"pads": [0, 0, 1, 1], "strides": [2, 2]}),
    ("conv 3x2, dilated", [2, 4, 6, 5], 6, [3, 2], {"dilations": [2, 1]}),
    ("conv 3x3, two groups", [1, 8, 4, 4], 8, [3, 3], {"group": 2, "pads": [1, 1, 1, 1]}),
    ("conv 3x3, groups of odd channels", [1, 9, 3, 3], 6, [3, 3], {"group": 3, "pads": [1, 1, 1, 1]}),
    ("depthwise 3x3", [1, 16, 4, 4], 16, [3, 3], {"group": 16, "pads": [1, 1, 1, 1]}),
    ("depthwise 3x3, odd channels", [1, 5, 4, 4], 5, [3, 3], {"group": 5}),
    ("depthwise 3x3, two filters a channel", [1, 4, 4, 4], 8, [3, 3], {"group": 4, "pads": [1, 1, 1, 1]}),
    ("one channel in and out", [1, 1, 5, 5], 1, [3, 3], {}),
    ("conv 1-D", [1, 6, 9], 8, [5], {"pads": [2, 2], "strides": [2]}),
    ("conv 3-D", [1, 3, 3, 3, 3], 4, [2, 2, 2], {"pads": [0, 1, 0, 0, 1, 0]}),
]
PRODUCTS = [
    # name, op, rows of A, K, columns
    ("matmul", "MatMul", [4], 12, 8),
    ("matmul, odd K", "MatMul", [5], 13, 9),
    ("matmul, one row", "MatMul", [1], 11, 6),
    ("matmul, float result", "MatMul", [3], 9, 6),
    ("matmul, batched", "MatMul", [2, 3], 10, 5),
    ("gemm", "Gemm", [3], 15, 7),
    ("gemm, float result", "Gemm", [3], 10, 7),
    ("gemm, transposed weight", "GemmT", [1], 14, 10),
    ("gemm, transposed weight, float result", "GemmT", [2], 13, 6),
    ("matmul, K past one block", "MatMul", [2], 403, 2),
]
# Those that are asked with the same integers as uint8 around 128 too.
UINT8 = [
    "conv 1x1, odd channels", "conv 3x3, channels in fours", "conv 3x3, two groups", "depthwise 3x3", "conv 1-D",
    "matmul, odd K", "matmul, float result", "gemm", "gemm, transposed weight, float result",
]


def extreme(rng, shape, kind, density):
    """Mostly the ends of the range, else anything: pairs that saturate and pairs that do not."""
    if kind == "uint8":
        ends, low, high = [0, 255, 254, 230], 0, 256
    else:
        ends, low, high = [-127, 127, -128, 126], -128, 128
    values = rng.integers(low, high, shape)
    chosen = rng.random(shape) < density
    return np.where(chosen, rng.choice(ends, shape), values).astype(kind)


def weight_axis(op):
    return {"Conv": 0, "MatMul": 1, "Gemm": 1, "GemmT": 0}[op]


def reach(op, w):
    """About how far sums of products go, for an output scale that keeps most results inside eight bits."""
    return 128 * 128 * math.sqrt(np.prod(w.shape) / w.shape[weight_axis(op)])


def layer(case, rng, float_output):
    op = case["op"]
    x = extreme(rng, case["input"], "uint8", 0.7)
    w = extreme(rng, case["weight"], "int8", 0.6)
    channels = w.shape[weight_axis(op)]
    zero_point = int(rng.choice([0, 3, 128, 255]))
    w_scale = (0.01 + 0.01 * rng.random(channels)).astype(np.float32)
    x_scale = np.float32(0.02)
    y_zero_point = int(rng.choice([0, 100, 128]))
    y_scale = np.float32(2.5 * reach(op, w) * float(x_scale) * 0.015 / 255)
    bias = rng.integers(-30000, 30000, channels).astype(np.int32)
    return {
        "x": x, "w": w, "zeroPoint": zero_point, "xScale": x_scale, "wScale": w_scale,
        "yZeroPoint": None if float_output else y_zero_point, "yScale": y_scale,
        "bias": None if op == "MatMul" else bias,
    }


def model_of(case, v):
    op = "Gemm" if case["op"] == "GemmT" else case["op"]
    axis = weight_axis(case["op"])
    constants = {
        "xs": v["xScale"], "xz": np.uint8(v["zeroPoint"]), "w": v["w"], "ws": v["wScale"],
        "wz": np.zeros(len(v["wScale"]), np.int8), "ys": v["yScale"], "yz": np.uint8(v["yZeroPoint"] or 0),
    }
    if case.get("uint8"):
        constants |= {"w": v["w"].view(np.uint8) ^ 0x80, "wz": np.full(len(v["wScale"]), 128, np.uint8)}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["xf"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=axis),
    ]
    inputs = ["xf", "wf"]
    if v["bias"] is not None:
        constants |= {"b": v["bias"], "bs": (v["xScale"] * v["wScale"]).astype(np.float32)}
        nodes.append(helper.make_node("DequantizeLinear", ["b", "bs"], ["bf"], axis=0))
        inputs.append("bf")
    attributes = {"transB": 1} if case["op"] == "GemmT" else case["attributes"]
    quantized = v["yZeroPoint"] is not None
    nodes.append(helper.make_node(op, inputs, ["yf" if quantized else "y"], name="layer", **attributes))
    if quantized:
        nodes.append(helper.make_node("QuantizeLinear", ["yf", "ys", "yz"], ["y"]))
    else:
        constants.pop("ys"), constants.pop("yz")
    graph = helper.make_graph(
        nodes, "layer",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, case["input"])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8 if quantized else TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def network(rng):
    """Three layers and a sum over a branch, as static quantization writes them: what saturates changes what the next layer reads."""
    nodes, constants = [], {}

    def dequantize(name, scale, zero_point, **attributes):
        constants.setdefault(f"{name}_s", np.asarray(scale, np.float32))
        constants.setdefault(f"{name}_z", np.asarray(zero_point))
        nodes.append(helper.make_node("DequantizeLinear", [name, f"{name}_s", f"{name}_z"], [f"{name}_f"], **attributes))
        return f"{name}_f"

    def quantize(value, name, scale, zero_point):
        constants[f"{name}_s"], constants[f"{name}_z"] = np.float32(scale), np.uint8(zero_point)
        nodes.append(helper.make_node("QuantizeLinear", [value, f"{name}_s", f"{name}_z"], [name]))

    def weighted(op, x, name, shape, reach, **attributes):
        x_scale = constants[x.replace("_f", "_s")]
        constants[f"{name}_w"] = extreme(rng, shape, "int8", 0.6)
        scales = (reach / 20000 + reach / 40000 * rng.random(shape[0])).astype(np.float32)
        weight = dequantize(f"{name}_w", scales, np.zeros(shape[0], np.int8), axis=0)
        constants[f"{name}_b"] = rng.integers(-9000, 9000, shape[0]).astype(np.int32)
        bias = dequantize(f"{name}_b", x_scale * scales, np.zeros(shape[0], np.int32), axis=0)
        nodes.append(helper.make_node(op, [x, weight, bias], [f"{name}_y"], name=name, **attributes))
        return f"{name}_y"

    quantize("x", "q0", 0.02, 100)
    quantize(weighted("Conv", dequantize("q0", 0, 0), "first", [8, 3, 3, 3], 3, pads=[1, 1, 1, 1]), "q1", 0.0005, 0)
    quantize(weighted("Conv", dequantize("q1", 0, 0), "second", [8, 8, 1, 1], 12), "q2", 0.02, 120)
    nodes.append(helper.make_node("Add", [dequantize("q2", 0, 0), "q1_f"], ["sum"]))
    quantize("sum", "q3", 0.005, 40)
    nodes.append(helper.make_node("GlobalAveragePool", [dequantize("q3", 0, 0)], ["mean"]))
    quantize("mean", "q4", 0.0002, 20)
    nodes.append(helper.make_node("Flatten", [dequantize("q4", 0, 0)], ["flat"]))
    quantize("flat", "q5", 0.0002, 20)
    weighted("Gemm", dequantize("q5", 0, 0), "head", [5, 8], 4, transB=1)
    graph = helper.make_graph(
        nodes, "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 5, 5])],
        [helper.make_tensor_value_info("head_y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    x = rng.normal(0, 2, (1, 3, 5, 5)).astype(np.float32)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), x


def run(model, x):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def text(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def encoded(model):
    return base64.b64encode(model.SerializeToString()).decode()


def cases():
    plain = []
    for name, shape, filters, kernel, attributes in CONVOLUTIONS:
        weight = [filters, shape[1] // attributes.get("group", 1), *kernel]
        plain.append({"name": name, "op": "Conv", "input": shape, "weight": weight, "attributes": attributes})
    for name, op, rows, k, n in PRODUCTS:
        weight = [n, k] if op == "GemmT" else [k, n]
        plain.append({"name": name, "op": op, "input": [*rows, k], "weight": weight, "attributes": {}})
    wide = [one | {"name": f"{one['name']}, uint8 weights", "uint8": True} for one in plain if one["name"] in UINT8]
    for case in plain + wide:
        yield case, "float" in case["name"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    found = []
    networks = []
    for seed in range(arguments.seeds):
        model, x = network(np.random.default_rng(seed))
        networks.append({"model": encoded(model), "x": text(x), "y": text(run(model, x))})
        for number, (case, float_output) in enumerate(cases()):
            rng = np.random.default_rng([seed, number])
            v = layer(case, rng, float_output)
            model = model_of(case, v)
            y = run(model, v["x"])
            found.append({
                "name": case["name"],
                "model": encoded(model),
                "x": text(v["x"]), "input": case["input"], "y": text(y), "output": list(y.shape),
            })
    with open(arguments.out, "w") as file:
        json.dump({"onnxruntime": ort.__version__, "layers": found, "networks": networks}, file)
    print(f"{len(found)} layers, {len(networks)} networks")


main()
