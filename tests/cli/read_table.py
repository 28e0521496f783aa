#!/usr/bin/env python3
"""Reads a finished error table with NumPy alone and checks what bitplan promises of it.

usage: read_table.py TABLE          (status 0: all holds; an exception names what does not)
       read_table.py --available    (status 0: NumPy is here)
"""
import json
import sys

import numpy as np

DTYPES = {"F64": "<f8", "U64": "<u8", "U16": "<u2", "U8": "u1"}
B2_BITS = {"bf16": 16, "fp16": 16, "fp32": 32}
ESTIMATED, ITERATED = 2, 3


def load(path):
    blob = np.fromfile(path, dtype=np.uint8)
    n = int(blob[:8].view("<u8")[0])
    header = json.loads(blob[8 : 8 + n].tobytes())
    metadata = header.pop("__metadata__")
    assert (8 + n) % 8 == 0, "the data does not start at a multiple of 8"
    arrays = {}
    for name, t in header.items():
        begin, end = (8 + n + o for o in t["data_offsets"])
        arrays[name] = blob[begin:end].view(DTYPES[t["dtype"]]).reshape(t["shape"])
    return metadata, arrays


def eq3(n, c):
    """Equation 3 of the paper: codes, first-level scales, second-level scales."""
    blocks = -(-n // c["B0"])
    return n * c["b0"] + blocks * c["b1"] + -(-blocks // c["B1"]) * B2_BITS[c["b2"]]


def check(path):
    metadata, a = load(path)
    assert metadata["format"] == "bitplan.table" and metadata["version"] == "1"
    matrices, candidates = json.loads(metadata["matrices"]), json.loads(metadata["candidates"])
    for key in ("objective", "model", "method"):
        assert isinstance(json.loads(metadata[key]), dict), key
    N, C = len(matrices), len(candidates)
    assert N > 0 and C > 0
    shapes = {"error": (N, C), "storage": (N, C), "norm": (N,), "iterations": (N, C)}
    for name, shape in shapes.items():
        assert a[name].shape == shape, (name, a[name].shape, shape)
    for name in ("error", "norm"):
        assert np.isfinite(a[name]).all() and (a[name] >= 0).all(), name
    stage = a.get("stage", np.full((N, C), ITERATED))
    assert stage.shape == (N, C) and ((stage >= 1) & (stage <= ITERATED)).all()
    low_rank = np.array([c["rank"] > 0 for c in candidates])
    assert ((a["iterations"] > 0) == (low_rank & (stage != ESTIMATED))).all(), (
        "iterations are those of the low-rank part, and an estimate has none")
    assert (stage[:, ~low_rank] == ITERATED).all(), "rank 0 has nothing to iterate"
    for i, m in enumerate(matrices):
        n = m["shape"][0] * m["shape"][1]
        for j, c in enumerate(candidates):
            assert int(a["storage"][i, j]) == eq3(n, c), (m["name"], c)
    assert (a["error"] <= a["norm"][:, None]).all(), "worse than keeping nothing"


if sys.argv[1] != "--available":
    check(sys.argv[1])
