"""Times training steps of PyTorch on the CPU: one command a line on stdin, one JSON answer a line on stdout.

    NET THREADS REPEATS [SETTING]     NET: resnet8, mobilenetv2, transformer
SETTING is a memory layout, contiguous (default) or channels_last, with "+compile" for torch.compile (needs a C++ compiler).

The first line out is {"version", "nets": {net: {"batch", "parameters"}}}. Each answer holds lists of REPEATS times in milliseconds, wall
and CPU: `step` is forward, loss, backward and SGD with momentum; `forward` is forward and loss in training mode without gradients.
`loss` is the last step's, `rssBytes` the process's memory after the round. A net is built and warmed up (two steps) when it is first
asked for in a setting, and keeps training after that. Data are random and fixed.
"""
import json
import os
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

CLASSES = {"resnet8": 10, "mobilenetv2": 100, "transformer": 10}


class ResidualBlock(nn.Module):
    """Convolutions with bias and a plain 1x1 convolution as shortcut, as in MLPerf Tiny's Keras model."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x), inplace=True)


def resnet8():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
        ResidualBlock(16, 16, 1), ResidualBlock(16, 32, 2), ResidualBlock(32, 64, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES["resnet8"]),
    )


def conv_norm(inputs, outputs, kernel, stride=1, groups=1, act=True):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU6(inplace=True)] if act else []))


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, stride, expand):
        super().__init__()
        hidden = inputs * expand
        layers = [conv_norm(inputs, hidden, 1)] if expand != 1 else []
        layers += [conv_norm(hidden, hidden, 3, stride, hidden), conv_norm(hidden, outputs, 1, act=False)]
        self.body = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.residual else self.body(x)


def mobilenetv2():
    """Width 1.0 (Sandler et al. 2018, table 2), without dropout."""
    rows = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    layers, channels = [conv_norm(3, 32, 3, 2)], 32
    for expand, outputs, count, stride in rows:
        for i in range(count):
            layers.append(InvertedResidual(channels, outputs, stride if i == 0 else 1, expand))
            channels = outputs
    layers += [conv_norm(channels, 1280, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, CLASSES["mobilenetv2"])]
    return nn.Sequential(*layers)


class EncoderLayer(nn.Module):
    """Pre-norm; attention by PyTorch's own fused kernel."""

    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, width)
        x = x + self.out(mixed)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self, vocabulary=1000, length=64, width=128, layers=2, heads=4, hidden=512):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.randn(length, width) * 0.02)
        self.layers = nn.Sequential(*[EncoderLayer(width, heads, hidden) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, CLASSES["transformer"])

    def forward(self, tokens):
        x = self.layers(self.embedding(tokens) + self.position)
        return self.head(self.norm(x).mean(dim=1))


NETS = {
    "resnet8": (resnet8, lambda: torch.randn(64, 3, 32, 32)),
    "mobilenetv2": (mobilenetv2, lambda: torch.randn(16, 3, 96, 96)),
    "transformer": (Transformer, lambda: torch.randint(0, 1000, (32, 64))),
}


class Training:
    def __init__(self, net, setting):
        torch.manual_seed(1)
        layout, _, compiled = setting.partition("+")
        make_model, make_inputs = NETS[net]
        memory = getattr(torch, {"contiguous": "contiguous_format"}.get(layout, layout))
        self.model = make_model().to(memory_format=memory).train()
        self.inputs = make_inputs()
        if self.inputs.dim() == 4:
            self.inputs = self.inputs.to(memory_format=memory)
        self.targets = torch.randint(0, CLASSES[net], (self.inputs.shape[0],))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        if compiled:
            self.model = torch.compile(self.model)
        for _ in range(2):
            self.step()
            self.forward()

    def loss(self):
        return F.cross_entropy(self.model(self.inputs), self.targets)

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss()
        loss.backward()
        self.optimizer.step()
        return loss

    def forward(self):
        with torch.no_grad():
            return self.loss()


def timed(work, repeats):
    wall, cpu, result = [], [], None
    for _ in range(repeats):
        wall_start, cpu_start = time.perf_counter(), time.process_time()
        result = work()
        wall.append((time.perf_counter() - wall_start) * 1000)
        cpu.append((time.process_time() - cpu_start) * 1000)
    return wall, cpu, result.item()


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def answer(trainings, net, threads, repeats, setting="contiguous"):
    torch.set_num_threads(int(threads))
    key = net, setting
    if key not in trainings:
        trainings[key] = Training(net, setting)
    forward_wall, forward_cpu, _ = timed(trainings[key].forward, int(repeats))
    step_wall, step_cpu, loss = timed(trainings[key].step, int(repeats))
    return {
        "net": net, "threads": torch.get_num_threads(), "setting": setting, "loss": loss,
        "forward": {"wallMs": forward_wall, "cpuMs": forward_cpu}, "step": {"wallMs": step_wall, "cpuMs": step_cpu},
        "rssBytes": resident_bytes(),
    }


def main():
    torch.set_num_interop_threads(1)
    torch.set_flush_denormal(True)
    nets = {
        net: {"batch": make_inputs().shape[0], "parameters": sum(p.numel() for p in make_model().parameters())}
        for net, (make_model, make_inputs) in NETS.items()
    }
    print(json.dumps({"version": torch.__version__, "nets": nets}), flush=True)
    trainings = {}
    for line in sys.stdin:
        try:
            print(json.dumps(answer(trainings, *line.split())), flush=True)
        except Exception as error:  # the caller's script goes on with the other nets
            print(json.dumps({"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else line.strip()}"}), flush=True)


main()
