#!/usr/bin/env python3
"""What an NVIDIA GPU and PyTorch reach on this project's work: the opponents' numbers, one JSON line a measurement.

usage: torch_baselines.py [--out FILE] [--section roof,gemm,attention,bert] [--reps 30]
Needs torch (CUDA) and, for `bert`, transformers. Random N(0,1) data, CUDA-event medians, a final synchronisation,
useful FLOPs only (real tokens). Sections are independent: one that fails prints its error and the rest go on.
"""
import argparse, json, math, statistics, sys, time
import torch
import torch.nn.functional as F

ap = argparse.ArgumentParser()
ap.add_argument("--out"); ap.add_argument("--section", default="roof,gemm,attention,bert"); ap.add_argument("--reps", type=int, default=30)
a = ap.parse_args()
dev = "cuda" if torch.cuda.is_available() else sys.exit("no CUDA device")
out = open(a.out, "a") if a.out else None
name = torch.cuda.get_device_name(0)

def emit(**kw):
    line = json.dumps({"device": name, "torch": torch.__version__, **kw})
    print(line, flush=True)
    if out: out.write(line + "\n"); out.flush()

def timed(fn, reps=None, warm=5):
    """Median microseconds of fn() by CUDA events, L2 swept between repetitions."""
    reps = reps or a.reps
    sweep = timed.sweep
    for _ in range(warm): fn()
    ts = []
    for _ in range(reps):
        sweep.zero_()
        s, e = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        s.record(); fn(); e.record(); e.synchronize()
        ts.append(s.elapsed_time(e) * 1e3)
    torch.cuda.synchronize()
    return statistics.median(ts)
timed.sweep = torch.empty(256 << 20, dtype=torch.uint8, device=dev)

def graphed(fn):
    """fn captured in a CUDA graph (static inputs), as a replay function."""
    s = torch.cuda.Stream(); s.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(s):
        for _ in range(3): fn()
    torch.cuda.current_stream().wait_stream(s)
    g = torch.cuda.CUDAGraph()
    with torch.cuda.graph(g): fn()
    return g.replay

def lengths(kind, batch, cap, seed=2):
    g = torch.Generator().manual_seed(seed)
    if kind == "full": return [cap] * batch
    if kind.startswith("uniform"):            # ByteTransformer's: uniform in [2*avg - cap, cap]
        avg = int(float(kind[7:]) * cap)
        return torch.randint(max(1, 2 * avg - cap), cap + 1, (batch,), generator=g).tolist()
    med, sigma = {"passages": (71, .40), "queries": (8.5, .33), "wiki": (150, .65), "chunks": (300, .45)}[kind]
    x = torch.exp(math.log(med) + sigma * torch.randn(batch, generator=g))
    return x.round().clamp(2, cap).int().tolist()

def cu(lens):
    return torch.tensor([0] + list(torch.tensor(lens).cumsum(0)), dtype=torch.int32, device=dev)

def roof():
    x = torch.randn(1 << 31, dtype=torch.bfloat16, device=dev); y = torch.empty_like(x)
    t = timed(lambda: y.copy_(x), 15); emit(section="roof", what="copy", GBps=2 * x.numel() * 2 / t / 1e3); del x, y
    n = 8192; p = torch.randn(n, n, dtype=torch.bfloat16, device=dev); q = torch.randn(n, n, dtype=torch.bfloat16, device=dev)
    t = timed(lambda: p @ q, 20); emit(section="roof", what="gemm8192", tflops=2 * n**3 / t / 1e6)

def gemm():
    for model, shapes in {"base": [(2304, 768), (768, 768), (3072, 768), (768, 3072)], "large": [(3072, 1024), (1024, 1024), (4096, 1024), (1024, 4096)]}.items():
        for n, k in shapes:
            w = torch.randn(n, k, dtype=torch.bfloat16, device=dev) / k**.5; b = torch.randn(n, dtype=torch.bfloat16, device=dev)
            for m in (64, 512, 4096, 16384, 65536):
                x = torch.randn(m, k, dtype=torch.bfloat16, device=dev)
                t = timed(graphed(lambda: F.linear(x, w, b)))
                r = dict(section="gemm", model=model, M=m, N=n, K=k, us=t, tflops=2 * m * n * k / t / 1e6)
                if n > k:
                    try: r["us_gelu"] = timed(graphed(lambda: torch.ops.aten._addmm_activation(b, x, w.t(), use_gelu=True)))
                    except Exception as e: r["gelu_error"] = str(e)[:80]
                emit(**r)

def attention():
    try: from torch.nn.attention.varlen import varlen_attn
    except Exception as e: varlen_attn = None; emit(section="attention", error="varlen_attn: " + str(e)[:120])
    cases = [(16, s, 12, 64, "uniform0.6") for s in (64, 128, 256, 384, 512, 1024)]
    cases += [(8, 2048, 16, 64, "uniform0.6"), (64, 256, 12, 64, "full"), (32, 512, 12, 64, "full"), (256, 512, 12, 64, "passages"), (512, 64, 12, 32, "queries"), (64, 512, 12, 64, "wiki"), (56, 512, 16, 64, "wiki"), (8, 8192, 12, 64, "uniform0.6")]
    for b, s, h, d, kind in cases:
        ls = lengths(kind, b, s); t_all = sum(ls); mx = max(ls); c = cu(ls)
        q, k, v = (torch.randn(t_all, h, d, dtype=torch.bfloat16, device=dev) for _ in range(3))
        fl = 4 * h * d * sum(l * l for l in ls)
        r = dict(section="attention", batch=b, cap=s, heads=h, head_dim=d, kind=kind, tokens=t_all, max=mx)
        if varlen_attn:
            try:
                t = timed(lambda: varlen_attn(q, k, v, c, c, mx, mx)); r.update(varlen_us=t, varlen_tflops=fl / t / 1e6)
            except Exception as e: r["varlen_error"] = str(e)[:120]
        try:
            pq, pk, pv = (torch.randn(b, h, mx, d, dtype=torch.bfloat16, device=dev) for _ in range(3))
            m = (torch.arange(mx, device=dev)[None, :] < torch.tensor(ls, device=dev)[:, None])[:, None, None, :]
            t = timed(lambda: F.scaled_dot_product_attention(pq, pk, pv, attn_mask=m)); r.update(sdpa_masked_us=t, sdpa_masked_tflops=fl / t / 1e6)
            t = timed(lambda: F.scaled_dot_product_attention(pq, pk, pv)); r.update(sdpa_nomask_us=t, sdpa_nomask_tflops=4 * h * d * b * mx * mx / t / 1e6)
        except Exception as e: r["sdpa_error"] = str(e)[:120]
        emit(**r)

def bert():
    from transformers import BertConfig, BertModel
    from torch.nn.attention.varlen import varlen_attn
    cfgs = {"base": dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072), "minilm": dict(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)}
    loads = [(1, 32, "full"), (8, 64, "full"), (64, 256, "full"), (16, 128, "uniform0.6"), (16, 512, "uniform0.6"), (16, 512, "full"), (256, 512, "passages"), (64, 512, "wiki")]
    for mname, kw in cfgs.items():
        torch.manual_seed(0)
        m = BertModel(BertConfig(vocab_size=30522, attn_implementation="sdpa", **kw), add_pooling_layer=False).to(dev, torch.bfloat16).eval()
        h = kw["num_attention_heads"]; d = kw["hidden_size"] // h
        layers = []
        for l in m.encoder.layer:
            s = l.attention.self
            layers.append((torch.cat([s.query.weight, s.key.weight, s.value.weight]).detach(), torch.cat([s.query.bias, s.key.bias, s.value.bias]).detach(), l))
        def packed(ids, pos, c, mx):
            e = m.embeddings
            x = e.LayerNorm(e.word_embeddings(ids) + e.position_embeddings(pos) + e.token_type_embeddings.weight[0])
            for w, b, l in layers:
                q, k, v = F.linear(x, w, b).view(-1, 3, h, d).unbind(1)
                o = varlen_attn(q, k, v, c, c, mx, mx).reshape(x.shape)
                x = l.attention.output.LayerNorm(l.attention.output.dense(o) + x)
                x = l.output.LayerNorm(l.output.dense(F.gelu(l.intermediate.dense(x))) + x)
            return x
        cm = torch.compile(m); cp = torch.compile(packed, dynamic=False)
        for b, s, kind in loads:
            ls = lengths(kind, b, s); mx = max(ls); t_all = sum(ls)
            fl = t_all * 2 * kw["num_hidden_layers"] * (4 * kw["hidden_size"]**2 + 2 * kw["hidden_size"] * kw["intermediate_size"]) + kw["num_hidden_layers"] * 4 * kw["hidden_size"] * sum(l * l for l in ls)
            r = dict(section="bert", model=mname, batch=b, cap=s, kind=kind, tokens=t_all, gflop=fl / 1e9, lengths=ls)
            ids = torch.randint(1000, 30000, (b, mx), device=dev); am = (torch.arange(mx, device=dev)[None] < torch.tensor(ls, device=dev)[:, None]).long()
            pid = torch.cat([ids[i, :l] for i, l in enumerate(ls)]); pos = torch.cat([torch.arange(l, device=dev) for l in ls]); c = cu(ls)
            def case(key, fn, graph=False):
                try:
                    with torch.inference_mode():
                        t = timed(graphed(fn) if graph else fn, 20); r[key + "_ms"] = t / 1e3; r[key + "_tflops"] = fl / t / 1e6
                except Exception as e: r[key + "_error"] = str(e)[:120]
            case("padded_sdpa", lambda: m(input_ids=ids, attention_mask=am))
            case("padded_compiled", lambda: cm(input_ids=ids, attention_mask=am))
            case("packed_eager", lambda: packed(pid, pos, c, mx))
            case("packed_graph", lambda: packed(pid, pos, c, mx), True)
            case("packed_compiled_graph", lambda: cp(pid, pos, c, mx), True)
            emit(**r)

for sname in a.section.split(","):
    t0 = time.time()
    try: {"roof": roof, "gemm": gemm, "attention": attention, "bert": bert}[sname]()
    except Exception as e: emit(section=sname, error=type(e).__name__ + ": " + str(e)[:300])
    print(f"# {sname}: {time.time() - t0:.0f} s", file=sys.stderr, flush=True); torch.cuda.empty_cache()
