#!/usr/bin/env python3
"""Gives a table that was measured on a small model the shapes of a large one.

  scale.py SMALL.safetensors LARGE.safetensors

The shipped session must not take a day of measuring: `bitplan sample` writes Llama-2-7B's layers with
a hidden size of 128 instead of 4096, `bitplan measure` measures those, and this script stretches the
result to Llama-2-7B's shapes. Storage is Eq. 3 at the large shapes, so bits and bytes are those of the
real model; an error (and a norm) is the small matrix's error a parameter, times the parameters of the
large one; rank 2 of 128 becomes rank 64 of 4096. The table says that it is synthetic and how it was
made. NumPy only.
"""
import json
import struct
import sys

import numpy as np

HIDDEN, INTERMEDIATE, VOCAB = 4096, 11008, 32000
TYPE_BITS = {"bf16": 16, "fp16": 16, "fp32": 32}
KINDS = {
    "gate_proj": (INTERMEDIATE, HIDDEN),
    "up_proj": (INTERMEDIATE, HIDDEN),
    "down_proj": (HIDDEN, INTERMEDIATE),
}


def read(path):
    with open(path, "rb") as f:
        blob = f.read()
    (n,) = struct.unpack_from("<Q", blob)
    header = json.loads(blob[8 : 8 + n])
    data = blob[8 + n :]
    dtypes = {"F64": "<f8", "U64": "<u8", "U16": "<u2"}
    arrays = {
        name: np.frombuffer(data[slice(*t["data_offsets"])], dtypes[t["dtype"]])
        .reshape(t["shape"])
        .copy()
        for name, t in header.items()
        if name != "__metadata__"
    }
    return header["__metadata__"], arrays


def write(path, meta, arrays):
    names = {"f8": "F64", "u8": "U64", "u2": "U16"}
    header, offset = {"__metadata__": meta}, 0
    for name, a in arrays.items():
        header[name] = {
            "dtype": names[a.dtype.str[1:]],
            "shape": list(a.shape),
            "data_offsets": [offset, offset + a.nbytes],
        }
        offset += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for a in arrays.values():
            f.write(a.tobytes())


def storage(n, c):
    blocks = -(-n // c["B0"])
    return n * c["b0"] + blocks * c["b1"] + -(-blocks // c["B1"]) * TYPE_BITS[c["b2"]]


def main(small, large):
    meta, arrays = read(small)
    matrices = json.loads(meta["matrices"])
    candidates = json.loads(meta["candidates"])
    scale = HIDDEN // matrices[0]["shape"][1]
    for i, m in enumerate(matrices):
        d, k = KINDS.get(m["kind"], (HIDDEN, HIDDEN))
        factor = d * k / (m["shape"][0] * m["shape"][1])
        m["shape"] = [d, k]
        for name in ("error", "norm", "baseline_error"):
            arrays[name][i] *= factor
        arrays["storage"][i] = [storage(d * k, c) for c in candidates]
    for c in candidates:
        c["rank"] *= scale
    layers = 1 + max(m["layer"] for m in matrices)
    outside = 2 * VOCAB * HIDDEN + (2 * layers + 1) * HIDDEN
    model = {
        "name": f"Llama-2-7b at 1/{scale}",
        "fingerprint": "",
        "params": outside + sum(m["shape"][0] * m["shape"][1] for m in matrices),
        "params_outside": outside,
        "bytes_outside": 2 * outside,
        "synthetic": True,
    }
    method = json.loads(meta["method"])
    method["effort"] = f"exact, at 1/{scale} of the size, stretched"
    for name, value in (
        ("matrices", matrices),
        ("candidates", candidates),
        ("model", model),
        ("method", method),
    ):
        meta[name] = json.dumps(value, separators=(",", ":"))
    write(large, meta, arrays)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
