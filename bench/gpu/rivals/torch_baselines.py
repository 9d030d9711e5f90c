#!/usr/bin/env python3
"""What PyTorch reaches on the loads of bench/gpu/plan.mjs: one JSON line a measurement.

  node bench/gpu/plan.mjs > plan.json
  torch_baselines.py --plan plan.json [--out FILE] [--section bert,gemm,attention,roof,compiled] [--reps 30]
                     [--seconds N] [--device cpu]

Needs torch with CUDA and, for bert and compiled, transformers. N(0, 1) data, medians of CUDA events with an L2 cache
full of other data, a final synchronisation, FLOPs of real tokens only. What fails is a line with an error, and the rest
goes on; no load begins after --seconds. compiled comes last, since a load takes a minute or two of compiling.
--device cpu shows that the script runs; its times mean nothing.
"""
import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # before PyTorch 2.10
    varlen_attn = None

PRODUCTS = {  # n, k of the layers
    "base": [(2304, 768), (768, 768), (3072, 768), (768, 3072)],
    "large": [(3072, 1024), (1024, 1024), (4096, 1024), (1024, 4096)],
}


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--plan", required=True)
    parser.add_argument("--out")
    parser.add_argument("--section", default="bert,gemm,attention,roof,compiled")
    parser.add_argument("--reps", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--device", default="cuda")
    return parser.parse_args()


class Bench:
    """Where measurements run and where their lines go."""

    def __init__(self, arguments):
        self.device = torch.device(arguments.device)
        self.is_gpu = self.device.type == "cuda"
        self.name = torch.cuda.get_device_name(0) if self.is_gpu else "cpu"
        self.reps = arguments.reps
        self.end = time.monotonic() + arguments.seconds
        self.left_out = 0
        self.out = open(arguments.out, "a") if arguments.out else None
        self.sweep = torch.empty((256 << 20) if self.is_gpu else 1, dtype=torch.uint8, device=self.device)

    def emit(self, **fields):
        line = json.dumps({"device": self.name, "torch": torch.__version__, **fields})
        print(line, flush=True)
        if self.out:
            self.out.write(line + "\n")
            self.out.flush()

    def has_time(self):
        """Whether another load may begin; counts those that may not."""
        late = time.monotonic() > self.end
        self.left_out += late
        return not late

    def normal(self, *shape):
        return torch.randn(*shape, dtype=torch.bfloat16, device=self.device)

    def timed(self, work, warm_up=5):
        """Median microseconds."""
        for _ in range(min(warm_up, self.reps)):
            work()
        times = []
        for _ in range(self.reps):
            self.sweep.zero_()
            times.append(self.sample(work))
        return statistics.median(times)

    def sample(self, work):
        if not self.is_gpu:
            start = time.perf_counter()
            work()
            return (time.perf_counter() - start) * 1e6
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1e3

    def graphed(self, work):
        """The work captured in a CUDA graph, as a function that replays it."""
        if not self.is_gpu:
            return work
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return graph.replay

    def offsets(self, lengths):
        sums = torch.tensor([0] + lengths).cumsum(0)
        return sums.to(torch.int32).to(self.device)


def attempt(fields, name, work):
    """Runs work(fields); what it raises becomes the field <name>_error."""
    try:
        work(fields)
    except Exception as error:  # a rival that fails must not end the run
        fields[name + "_error"] = f"{type(error).__name__}: {error}"[:200]


def without_lengths(load):
    return {name: value for name, value in load.items() if name != "lengths"}


def roof(bench, _plan):
    count, side = (1 << 31, 8192) if bench.is_gpu else (1 << 10, 64)
    source = bench.normal(count)
    target = torch.empty_like(source)
    us = bench.timed(lambda: target.copy_(source))
    bench.emit(section="roof", what="copy", GBps=2 * count * 2 / us / 1e3)
    del source, target
    a, b = bench.normal(side, side), bench.normal(side, side)
    us = bench.timed(lambda: a @ b)
    bench.emit(section="roof", what=f"gemm{side}", tflops=2 * side**3 / us / 1e6)


def gemm(bench, plan):
    for shape in plan["products"]["shapes"]:
        for n, k in PRODUCTS[shape]:
            weight, bias = bench.normal(n, k) / k**0.5, bench.normal(n)
            for m in plan["products"]["tokens"]:
                if not bench.has_time():
                    continue
                x = bench.normal(m, k)
                fields = dict(section="gemm", shape=shape, M=m, N=n, K=k)

                def plain(fields):
                    fields["us"] = bench.timed(bench.graphed(lambda: F.linear(x, weight, bias)))
                    fields["tflops"] = 2 * m * n * k / fields["us"] / 1e6

                def gelu(fields):
                    fused = torch.ops.aten._addmm_activation
                    fields["gelu_us"] = bench.timed(
                        bench.graphed(lambda: fused(bias, x, weight.t(), use_gelu=True)))

                attempt(fields, "linear", plain)
                if n > k:
                    attempt(fields, "gelu", gelu)
                bench.emit(**fields)


def attention(bench, plan):
    for load in plan["attention"]:
        if not bench.has_time():
            continue
        batch, heads, dim = load["batch"], load["heads"], load["headDim"]
        lengths = load["lengths"]
        tokens, longest = sum(lengths), max(lengths)
        flops = 4 * heads * dim * sum(length * length for length in lengths)
        fields = dict(section="attention", tokens=tokens, **without_lengths(load))

        def varlen(fields):
            if varlen_attn is None:
                raise RuntimeError("this PyTorch has no varlen_attn")
            q, k, v = (bench.normal(tokens, heads, dim) for _ in range(3))
            sums = bench.offsets(lengths)
            us = bench.timed(lambda: varlen_attn(q, k, v, sums, sums, longest, longest))
            fields.update(varlen_us=us, varlen_tflops=flops / us / 1e6)

        def padded(fields):
            q, k, v = (bench.normal(batch, heads, longest, dim) for _ in range(3))
            columns = torch.arange(longest, device=bench.device)
            mask = (columns[None] < torch.tensor(lengths, device=bench.device)[:, None])[:, None, None, :]
            us = bench.timed(lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=mask))
            fields.update(sdpa_us=us, sdpa_tflops=flops / us / 1e6)
            fields["sdpa_unmasked_us"] = bench.timed(lambda: F.scaled_dot_product_attention(q, k, v))

        attempt(fields, "varlen", varlen)
        attempt(fields, "sdpa", padded)
        bench.emit(**fields)


def packed_forward(model, config):
    """BERT on packed tokens with varlen_attn: the strongest that PyTorch offers."""
    heads = config["num_attention_heads"]
    dim = config["hidden_size"] // heads
    embeddings = model.embeddings
    layers = []
    for layer in model.encoder.layer:
        parts = [getattr(layer.attention.self, name) for name in ("query", "key", "value")]
        weight, bias = (torch.cat([getattr(part, name) for part in parts]).detach() for name in ("weight", "bias"))
        layers.append((weight, bias, layer))

    def forward(ids, positions, sums, longest):
        x = embeddings.word_embeddings(ids) + embeddings.position_embeddings(positions)
        x = embeddings.LayerNorm(x + embeddings.token_type_embeddings.weight[0])
        for weight, bias, layer in layers:
            q, k, v = F.linear(x, weight, bias).view(-1, 3, heads, dim).unbind(1)
            context = varlen_attn(q, k, v, sums, sums, longest, longest).reshape(x.shape)
            x = layer.attention.output.LayerNorm(layer.attention.output.dense(context) + x)
            x = layer.output.LayerNorm(layer.output.dense(F.gelu(layer.intermediate.dense(x))) + x)
        return x

    return forward


def flops_of(config, lengths):
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    products = sum(lengths) * 2 * (4 * hidden**2 + 2 * hidden * config["intermediate_size"])
    return layers * (products + 4 * hidden * sum(length * length for length in lengths))


def bert_load(bench, model, packed, config, load, compiled):
    """Measures the models as they are, or, in graphs of their own, what torch.compile made of them."""
    lengths = load["lengths"]
    longest, flops = max(lengths), flops_of(config, lengths)
    fields = dict(section="bert", tokens=sum(lengths), **without_lengths(load))
    ids = torch.randint(1000, 30000, (len(lengths), longest), device=bench.device)
    columns = torch.arange(longest, device=bench.device)
    mask = (columns[None] < torch.tensor(lengths, device=bench.device)[:, None]).long()
    packed_ids = ids[mask.bool()]
    positions = columns.expand_as(ids)[mask.bool()]
    sums = bench.offsets(lengths)

    def measure(name, work, in_graph=False):
        def run(fields):
            with torch.inference_mode():
                us = bench.timed(bench.graphed(work) if in_graph else work)
            fields.update({name + "_ms": us / 1e3, name + "_tflops": flops / us / 1e6})

        attempt(fields, name, run)

    def on_padded():
        return model(input_ids=ids, attention_mask=mask)

    def on_packed():
        return packed(packed_ids, positions, sums, longest)

    if compiled:
        measure("padded_compiled", on_padded)
        measure("packed_compiled", on_packed, True)
    else:
        measure("padded_sdpa", on_padded)
        measure("packed", on_packed)
        measure("packed_graph", on_packed, True)
    bench.emit(**fields)


def bert_models(bench, shape, compiled):
    """A BERT of that shape: on padded batches, on packed ones, and its configuration."""
    from transformers import BertConfig, BertModel

    config = dict(hidden_size=shape["hidden"], num_hidden_layers=shape["layers"],
                  num_attention_heads=shape["heads"], intermediate_size=shape["intermediate"])
    torch.manual_seed(0)
    settings = BertConfig(vocab_size=30522, max_position_embeddings=1024, attn_implementation="sdpa", **config)
    model = BertModel(settings, add_pooling_layer=False).to(bench.device, torch.bfloat16).eval()
    packed = packed_forward(model, config)
    if compiled:
        torch._dynamo.config.cache_size_limit = 64  # every load is a shape of its own
        model, packed = torch.compile(model), torch.compile(packed, dynamic=False)
    return model, packed, config


def bert_loads(bench, plan, compiled):
    models = {}
    for load in plan["endToEnd"]:
        if (compiled and not load["compiled"]) or not bench.has_time():
            continue
        name = load["model"]
        if name not in models:
            models[name] = bert_models(bench, plan["models"][name], compiled)
        bert_load(bench, *models[name], load, compiled)


def bert(bench, plan):
    bert_loads(bench, plan, compiled=False)


def compiled(bench, plan):
    bert_loads(bench, plan, compiled=True)


def main():
    arguments = parse_arguments()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch_baselines: PyTorch sees no CUDA device")
    with open(arguments.plan) as file:
        plan = json.load(file)
    bench = Bench(arguments)
    sections = {"roof": roof, "gemm": gemm, "attention": attention, "bert": bert, "compiled": compiled}
    for name in arguments.section.split(","):
        start = time.time()
        fields = dict(section=name)
        attempt(fields, name, lambda _: sections[name](bench, plan))
        if name + "_error" in fields:
            bench.emit(**fields)
        print(f"# {name}: {time.time() - start:.0f} s", file=sys.stderr, flush=True)
    print(f"# {bench.left_out} loads left out for want of time", file=sys.stderr)


if __name__ == "__main__":
    main()
