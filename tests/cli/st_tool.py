#!/usr/bin/env python3
"""Makes, reads and damages safetensors files for the command-line tests. Standard library only.

  st_tool.py header FILE                      print the header
  st_tool.py edit FILE JQ-ARGUMENT...         the header as jq changes it; the data stays
  st_tool.py set FILE TENSOR INDEX VALUE      INDEX is i, i,j, i,: (a row) or i..k,: (rows
                                              i to k); in place
  st_tool.py make FILE NAME=DTYPE:D,K[=VALUE] ...   a file of F32 or BF16 tensors; without a value,
                                              numbers that differ
  st_tool.py like FILE OUT                    F32 weights > 0 for every 2-D tensor of FILE
  st_tool.py best TABLE BITS                  least error of all plans within BITS, by trying all
  st_tool.py uniform TABLE BITS               least error of one candidate for all within BITS
"""
import itertools
import json
import math
import struct
import subprocess
import sys

SIZES = {"F64": 8, "F32": 4, "BF16": 2, "U64": 8, "U16": 2}


def read(path):
    with open(path, "rb") as f:
        blob = f.read()
    (n,) = struct.unpack_from("<Q", blob)
    return json.loads(blob[8 : 8 + n]), bytearray(blob[8 + n :])


def write(path, header, data):
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def encode(dtype, value):
    if dtype in ("U64", "U16"):
        return struct.pack("<Q" if dtype == "U64" else "<H", int(value))
    if dtype == "BF16":
        return struct.pack("<f", float(value))[2:]
    return struct.pack("<d" if dtype == "F64" else "<f", float(value))


def set_value(path, tensor, index, value):
    header, data = read(path)
    t = header[tensor]
    size, shape = SIZES[t["dtype"]], t["shape"]
    first, _, second = index.partition(",")
    first, _, last = first.partition("..")
    begin, n = int(first), 1
    if len(shape) == 2:
        begin, n = begin * shape[1], (int(last or first) - begin + 1) * shape[1]
        if second != ":":
            begin, n = begin + int(second), 1
    at = t["data_offsets"][0] + begin * size
    data[at : at + n * size] = encode(t["dtype"], value) * n
    # Behind the header and nowhere else: the file keeps its bytes.
    with open(path, "r+b") as f:
        (n_header,) = struct.unpack("<Q", f.read(8))
        f.seek(8 + n_header)
        f.write(data)


def make(path, specs):
    header, data = {}, bytearray()
    for spec in specs:
        name, form, *value = spec.split("=")
        dtype, sizes = form.split(":")
        shape = [int(s) for s in sizes.split(",")]
        begin, n = len(data), math.prod(shape)
        for i in range(n):
            data += encode(dtype, value[0] if value else math.sin(1.0 + 1.7 * i + 0.3 * begin))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, len(data)]}
    write(path, header, data)


def like(model, out):
    header, data = {}, bytearray()
    for name, t in read(model)[0].items():
        if name == "__metadata__" or len(t["shape"]) != 2:
            continue
        begin, n = len(data), math.prod(t["shape"])
        data += struct.pack("<%df" % n, *(0.5 + (i * 2654435761 % 1000) / 1000 for i in range(n)))
        header[name] = {"dtype": "F32", "shape": t["shape"], "data_offsets": [begin, len(data)]}
    write(out, header, data)


def cells(table):
    """Rows of (storage, error) of an error table."""
    header, data = read(table)
    rows, columns = header["error"]["shape"]
    error = struct.unpack_from("<%dd" % (rows * columns), data, header["error"]["data_offsets"][0])
    bits = struct.unpack_from("<%dQ" % (rows * columns), data, header["storage"]["data_offsets"][0])
    return [list(zip(bits[i * columns :], error[i * columns : (i + 1) * columns])) for i in range(rows)]


def least(plans, budget):
    """The least error of those plans (lists of cells) that fit; sums from first to last."""
    best = math.inf
    for plan in plans:
        if sum(bits for bits, _ in plan) <= budget:
            best = min(best, sum(error for _, error in plan))
    return best


def main(command, *args):
    if command == "header":
        print(json.dumps(read(args[0])[0]))
    elif command == "edit":
        header, data = read(args[0])
        jq = ["jq", "-c", *args[1:]]
        text = subprocess.run(jq, input=json.dumps(header).encode(), stdout=subprocess.PIPE, check=True)
        write(args[0], json.loads(text.stdout), data)
    elif command == "set":
        set_value(*args)
    elif command == "make":
        make(args[0], args[1:])
    elif command == "like":
        like(*args)
    elif command == "best":
        print(repr(least(itertools.product(*cells(args[0])), int(args[1]))))
    elif command == "uniform":
        print(repr(least(zip(*cells(args[0])), int(args[1]))))
    else:
        sys.exit("st_tool.py: no command " + command)


if __name__ == "__main__":
    main(*sys.argv[1:])
