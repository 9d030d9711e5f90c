"""The contestants' protocol of ../protocol.mjs, for rivals written in Python."""

import argparse
import json
import os
import statistics
import sys
import time

STARTED = time.perf_counter()
THREADS = int(os.environ.get("THREADS", "2"))
os.environ.update(
    OMP_NUM_THREADS=str(THREADS),
    MKL_NUM_THREADS=str(THREADS),
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    TRANSFORMERS_VERBOSITY="error",
)

import numpy as np  # noqa: E402  (after the environment)

SIZES = {"sorted8": 8, "each": 1}


def batch_indices(sequences, mode):
    """Indices of the sequences of each batch: padded, sorted8 or each, as in padded_batches.mjs."""
    indices = list(range(len(sequences)))
    if mode == "padded":
        return [indices]
    indices.sort(key=lambda i: -len(sequences[i]))
    size = SIZES[mode]
    return [indices[i : i + size] for i in range(0, len(indices), size)]


def pad(sequences, indices):
    """int64 ids and mask, [len(indices), longest]."""
    longest = max(len(sequences[i]) for i in indices)
    ids = np.zeros((len(indices), longest), np.int64)
    mask = np.zeros((len(indices), longest), np.int64)
    for row, index in enumerate(indices):
        ids[row, : len(sequences[index])] = sequences[index]
        mask[row, : len(sequences[index])] = 1
    return ids, mask


class PaddedRival:
    """A rival whose `hidden(ids, mask)` returns [rows, longest, width]."""

    def prepare(self, sequences, mode):
        return [(indices, *pad(sequences, indices)) for indices in batch_indices(sequences, mode)]

    def run(self, batches):
        return [(indices, mask, self.hidden(ids, mask)) for indices, ids, mask in batches]

    def embed(self, batches):
        means = {}
        for indices, mask, hidden in self.run(batches):
            hidden = np.asarray(hidden, np.float32)
            for row, index in enumerate(indices):
                means[index] = hidden[row, : mask[row].sum()].mean(0).tolist()
        return [means[index] for index in range(len(means))]


def _status_mb(key):
    with open("/proc/self/status") as status:
        return next(round(int(line.split()[1]) / 1024) for line in status if line.startswith(key + ":"))


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--serve", action="store_true")
    return parser.parse_args()


def serve(peer, model, rival, imported):
    """Answers requests until "quit"."""
    base = {
        "peer": peer,
        "model": os.path.basename(os.path.normpath(model)),
        "threads": THREADS,
        "import_s": imported - STARTED,
        "load_s": time.perf_counter() - imported,
        "rss_loaded_mb": _status_mb("VmRSS"),
    }
    files, prepared = {}, {}

    def workload(path):
        if path not in files:
            with open(path) as file:
                files[path] = json.load(file)
        return files[path]

    def ready(path, mode):
        if (path, mode) not in prepared:
            prepared[path, mode] = rival.prepare(workload(path)["seqs"], mode)
        return prepared[path, mode]

    def measure(request):
        path, mode = request["workload"], request["mode"]
        batches = ready(path, mode)
        for _ in range(request.get("warmup", 1)):
            rival.run(batches)
        times = []
        for _ in range(request.get("reps", 5)):
            start = time.perf_counter()
            rival.run(batches)
            times.append((time.perf_counter() - start) * 1e3)
        data, ms = workload(path), statistics.median(times)
        return {
            **base,
            "workload": data["name"],
            "mode": mode,
            "ms": ms,
            "ms_min": min(times),
            "ms_max": max(times),
            "reps": len(times),
            "real_tokens": data["real_tokens"],
            "tokens_per_s": data["real_tokens"] / ms * 1e3,
            "peak_rss_mb": _status_mb("VmHWM"),
        }

    def say(answer):
        print(json.dumps(answer), flush=True)

    say({**base, "ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("op") == "quit":
            break
        if request.get("op") == "embed":
            say({"embed": rival.embed(ready(request["workload"], request["mode"]))})
        else:
            say(measure(request))
