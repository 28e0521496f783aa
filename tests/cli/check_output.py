#!/usr/bin/env python3
"""Reads what `bitplan decompose` wrote, by docs/packed.md and by the rules of PEFT, bitsandbytes and
transformers, with NumPy alone, and checks all of it; with PyTorch also as modules.

usage: check_output.py MODEL PLAN OUT [--logits]

An exception names what does not hold. --logits: MODEL is a Llama, whose forward pass from base and
adapter must give the logits of Q + L1 L2.
"""
import importlib.util
import json
import pathlib
import re
import struct
import sys

import numpy as np

DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I32": "<i4", "U8": "u1", "F64": "<f8"}
B2 = {"bf16": "BF16", "fp16": "F16", "fp32": "F32"}
B2_BITS = {"bf16": 16, "fp16": 16, "fp32": 32}
# LlamaForCausalLM's linear layers, which is what PEFT can wrap.
MODULE = re.compile(r"^model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)$")
FACTOR = (8, 8, "fp32", 64, 256)  # how factors are coded at 8 bits


class File:
    def __init__(self, path):
        blob = path.read_bytes()
        (n,) = struct.unpack_from("<Q", blob)
        header = json.loads(blob[8 : 8 + n])
        self.metadata = header.pop("__metadata__", {})
        self.tensors, self.data = header, blob[8 + n :]
        end = 0
        for t in sorted(header.values(), key=lambda t: t["data_offsets"]):
            assert t["data_offsets"][0] == end, path
            end = t["data_offsets"][1]
        assert end == len(self.data), path

    def raw(self, name):
        begin, end = self.tensors[name]["data_offsets"]
        return self.data[begin:end]

    def dtype(self, name):
        return self.tensors[name]["dtype"]

    def values(self, name):
        """As stored, BF16 widened."""
        t = self.tensors[name]
        a = np.frombuffer(self.raw(name), dtype=DTYPES[t["dtype"]])
        if t["dtype"] == "BF16":
            a = (a.astype("<u4") << 16).view("<f4")
        return a.reshape(t["shape"])


def narrow(a, dtype):
    """FP32 to the bytes of a dtype, to nearest, ties to even."""
    if dtype == "BF16":
        u = a.astype("<f4").view("<u4")
        return ((u + 0x7FFF + ((u >> 16) & 1)) >> 16).astype("<u2").tobytes()
    return a.astype(DTYPES[dtype]).tobytes()


# --- docs/packed.md ---


def unpack(words, n, bits):
    """n codes out of 32-bit words: little-endian fields, 3 bits in planes of 32."""
    w = np.frombuffer(words, dtype="<u4")
    place = np.arange(n, dtype=np.int64)
    if bits == 3:
        plane = place // 32 * 3
        return sum(((w[plane + j] >> (place % 32).astype("<u4")) & 1) << j for j in range(3))
    shift = (place * bits % 32).astype("<u4")
    return (w[place * bits // 32] >> shift) & ((1 << bits) - 1)


def dequantize(f, name, shape, config):
    """The array of `name`, and the bits that codes, scale codes and scales take."""
    b0, b1, b2, size, group = config
    n = int(np.prod(shape))
    blocks = -(-n // size)
    groups = -(-blocks // group)
    codes = unpack(f.raw(name + ".codes"), n, b0)
    q = unpack(f.raw(name + ".scale_codes"), blocks, b1).astype("<f4")
    v = f.values(name + ".scale_scales")
    assert f.dtype(name + ".scale_scales") == B2[b2] and v.shape == (groups,)
    offset = f.values(name + ".scale_offset")
    assert offset.shape == ()
    step = np.float32(1) / np.float32(2**b1 - 1)
    # One rounding: the product of two FP32 numbers is exact in FP64.
    product = (step * q).astype("<f8") * v[np.arange(blocks) // group].astype("<f8")
    scale = (product + np.float64(offset)).astype("<f4")
    book = f.values("bitplan.nf%d" % b0)
    assert book.shape == (2**b0,) and book[0] <= -0.9999998 and book[-1] >= 0.9999998
    assert book[2 ** (b0 - 1) - 1] == 0 and (np.diff(book) > 0).all()
    Q = book[codes] * scale[np.arange(n) // size]
    return Q.reshape(shape), n * b0 + blocks * b1 + groups * B2_BITS[b2]


def parse_config(text):
    nf, u, b2, size, group = text.split(":")
    return int(nf[2:]), int(u[1:]), b2, int(size), int(group)


def read_packed(out, plan):
    """Q, A, B of every matrix by name, storage checked against the plan."""
    rows = {m["name"]: m for m in plan["matrices"]}
    parts = {}
    for path in sorted((out / "packed").glob("*.safetensors")):
        f = File(path)
        assert f.metadata["format"] == "bitplan.packed" and f.metadata["version"] == "1"
        bits = int(f.metadata["low_rank_bits"])
        for m in json.loads(f.metadata["matrices"]):
            name, (d, k), row = m["name"], m["shape"], rows[m["name"]]
            c = row["config"]
            config = parse_config(m["config"])
            assert config == (c["b0"], c["b1"], c["b2"], c["B0"], c["B1"]) and m["rank"] == row["rank"]
            Q, storage = dequantize(f, name, (d, k), config)
            assert storage == row["storage_bits"], name
            r = min(row["rank"], d, k)
            A = B = None
            if r and bits == 8:
                A = dequantize(f, name + ".lora_A", (r, k), FACTOR)[0]
                B = dequantize(f, name + ".lora_B", (d, r), FACTOR)[0]
            elif r:
                A, B = f.values(name + ".lora_A"), f.values(name + ".lora_B")
                assert f.dtype(name + ".lora_A") == {16: "BF16", 32: "F32"}[bits]
                assert A.shape == (r, k) and B.shape == (d, r)
            assert name not in parts
            parts[name] = Q, A, B
    assert parts.keys() == rows.keys()
    return parts


# --- the Hugging Face folder ---


def model_files(folder):
    """Its files by name, as transformers chooses them."""
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").exists() or not index.exists():
        return {"model.safetensors": File(folder / "model.safetensors")}
    names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    return {name: File(folder / name) for name in names}


def check_base(model, out, parts):
    ours, theirs = model_files(out), model_files(model)
    assert ours.keys() == theirs.keys()
    seen = set()
    for file in theirs:
        f, g = ours[file], theirs[file]
        assert f.tensors.keys() == g.tensors.keys()
        assert f.metadata == {"format": "pt", **g.metadata}
        for name, t in g.tensors.items():
            assert f.tensors[name]["dtype"] == t["dtype"] and f.tensors[name]["shape"] == t["shape"]
            if name in parts:
                assert f.raw(name) == narrow(parts[name][0], t["dtype"]), name
                seen.add(name)
            else:
                assert f.raw(name) == g.raw(name), name
    assert seen == parts.keys()
    for name in ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
                 "model.safetensors.index.json"]:
        if (model / name).exists():
            assert (out / name).read_bytes() == (model / name).read_bytes(), name


# --- PEFT ---


def pattern_value(pattern, module, fallback):
    """PEFT's get_pattern_key and .get: the first key that ends the module's path."""
    for key, value in pattern.items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return fallback


def check_adapter(out, parts):
    config = json.loads((out / "adapter" / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA" and config["task_type"] == "CAUSAL_LM"
    assert config["bias"] == "none" and config["lora_dropout"] == 0
    assert config["fan_in_fan_out"] is False and config["use_rslora"] is False
    assert config["init_lora_weights"] is True and config["modules_to_save"] is None
    assert config["inference_mode"] is True
    assert config["r"] == config["lora_alpha"] > 0
    f = File(out / "adapter" / "adapter_model.safetensors")
    assert f.metadata == {"format": "pt"}
    expected, modules = set(), set()
    for name, (Q, A, B) in parts.items():
        if A is None:
            continue
        assert name.endswith(".weight")
        module = name[: -len(".weight")]
        assert MODULE.match(module), module
        r = pattern_value(config["rank_pattern"], module, config["r"])
        alpha = pattern_value(config["alpha_pattern"], module, config["lora_alpha"])
        assert r == A.shape[0] and alpha / r == 1.0, module
        for part, want in ("lora_A", A), ("lora_B", B):
            key = "base_model.model.%s.%s.weight" % (module, part)
            have = f.values(key)
            assert have.shape == want.shape and f.dtype(key) in ("F32", "BF16"), key
            assert (have == want).all(), key
            expected.add(key)
        modules.add(module)
    # PEFT loads with strict=False: another key would be passed over in silence.
    assert f.tensors.keys() == expected
    targets = config["target_modules"]
    assert len(targets) == len(set(targets)) and set(targets) == modules
    for module in modules:  # exact name or the end of a path, as PEFT matches them
        assert [t for t in targets if module == t or module.endswith("." + t)] == [module]


# --- bitsandbytes ---

NF4 = np.array([-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
                -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
                0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
                0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0], dtype="<f4")
TORCH = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def check_bnb(model, out, plan, parts):
    rows = {m["name"]: m for m in plan["matrices"]}
    q = json.loads((out / "bnb" / "config.json").read_text())
    assert {**json.loads((model / "config.json").read_text()),
            "quantization_config": q["quantization_config"]} == q
    q = q["quantization_config"]
    assert q["quant_method"] == "bitsandbytes" and q["load_in_4bit"] is True
    assert q["bnb_4bit_quant_type"] == "nf4" and q["bnb_4bit_use_double_quant"] is False
    theirs, n_layers, names = model_files(model), 0, set()
    for file, f in model_files(out / "bnb").items():
        for name, t in theirs[file].tensors.items():
            names.add(name)
            if f.dtype(name) == t["dtype"]:
                want = parts[name][0] if name in parts else None
                assert f.raw(name) == (theirs[file].raw(name) if want is None else narrow(want, t["dtype"]))
                if len(t["shape"]) == 2:  # the loader would take it for a 4-bit layer
                    assert name[: -len(".weight")] in q["llm_int8_skip_modules"], name
                continue
            state = json.loads(f.raw(name + ".quant_state.bitsandbytes__nf4"))
            assert state == {"quant_type": "nf4", "blocksize": rows[name]["config"]["B0"],
                             "dtype": TORCH[t["dtype"]], "shape": t["shape"]}
            assert rows[name]["config"]["b0"] == 4
            assert state["blocksize"] in (32, 64, 128, 256, 512, 1024, 2048, 4096)
            assert (f.values(name + ".quant_map") == NF4).all()
            n = int(np.prod(t["shape"]))
            packed, absmax = f.values(name), f.values(name + ".absmax")
            assert f.dtype(name) == "U8" and packed.shape == (n // 2, 1)
            assert absmax.shape == (-(-n // state["blocksize"]),) and f.dtype(name + ".absmax") == "F32"
            codes = np.stack([packed[:, 0] >> 4, packed[:, 0] & 15], axis=1).reshape(-1)
            W = (NF4[codes] * absmax[np.arange(n) // state["blocksize"]]).reshape(t["shape"])
            assert np.abs(W - parts[name][0]).max() <= 2e-7 * absmax.max(), name
            assert name[: -len(".weight")] not in q["llm_int8_skip_modules"]
            n_layers += 1
    assert n_layers > 0
    index = out / "bnb" / "model.safetensors.index.json"
    if index.exists():
        weight_map = json.loads(index.read_text())["weight_map"]
        for file, f in model_files(out / "bnb").items():
            assert f.tensors.keys() == {n for n, where in weight_map.items() if where == file}


# --- errors ---


def check_errors(model, out, parts):
    report = json.loads((out / "decompose.json").read_text())
    weights = model_files(model)
    for m in report["matrices"]:
        W = next(f.values(m["name"]) for f in weights.values() if m["name"] in f.tensors).astype("<f8")
        Q, A, B = parts[m["name"]]
        L = B.astype("<f8") @ A.astype("<f8") if A is not None else 0.0
        error = ((W - Q - L) ** 2).sum()
        assert abs(error - m["error"]["packed"]) <= 1e-5 * error, m["name"]
        assert abs(error - m["planned_error"]) <= report["tolerance"] * error, m["name"]
        assert m["packed_bits"] == m["storage_bits"] and not m["off"]


# --- a forward pass ---


def read_layers(out):
    """Base weights, and A and B by module, from the files that a loader reads."""
    base = {}
    for f in model_files(out).values():
        base.update({name: f.values(name).astype("<f4") for name in f.tensors})
        for alias, name in f.metadata.items():
            if name in f.tensors:
                base[alias] = base[name]
    f = File(out / "adapter" / "adapter_model.safetensors")
    front, ends = "base_model.model.", (".lora_A.weight", ".lora_B.weight")
    low = {}
    for key in f.tensors:
        assert key.startswith(front) and key.endswith(ends)
        module, part = key[len(front) :].rsplit(".lora_", 1)
        low.setdefault(module, {})[part[0]] = f.values(key).astype("<f4")
    return base, low


def llama(config, weight, linear, ids):
    """Logits of LlamaForCausalLM; linear(x, module) is what its layers compute."""
    hidden, heads, kv = (config[k] for k in ("hidden_size", "num_attention_heads", "num_key_value_heads"))
    dim, T = hidden // heads, len(ids)

    def norm(x, w):
        return w * (x / np.sqrt((x * x).mean(-1, keepdims=True) + config["rms_norm_eps"]))

    angle = np.outer(np.arange(T), config["rope_theta"] ** -(np.arange(0, dim, 2) / dim))
    cos, sin = np.cos(np.tile(angle, 2)), np.sin(np.tile(angle, 2))

    def rope(x):
        turned = np.concatenate([-x[..., dim // 2 :], x[..., : dim // 2]], -1)
        return x * cos + turned * sin

    x = weight["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        at = "model.layers.%d." % layer
        h = norm(x, weight[at + "input_layernorm.weight"])
        q, k, v = (linear(h, at + "self_attn.%s_proj" % p).reshape(T, -1, dim).swapaxes(0, 1)
                   for p in "qkv")
        k, v = (np.repeat(a, heads // kv, 0) for a in (rope(k), v))
        score = rope(q) @ k.swapaxes(1, 2) / np.sqrt(dim)
        score[:, np.triu(np.ones((T, T), bool), 1)] = -np.inf
        p = np.exp(score - score.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        x = x + linear((p @ v).swapaxes(0, 1).reshape(T, -1), at + "self_attn.o_proj")
        h = norm(x, weight[at + "post_attention_layernorm.weight"])
        gate = linear(h, at + "mlp.gate_proj")
        gate = gate / (1 + np.exp(-gate))
        x = x + linear(gate * linear(h, at + "mlp.up_proj"), at + "mlp.down_proj")
    return norm(x, weight["model.norm.weight"]) @ weight["lm_head.weight"].T


def check_logits(model, out, parts):
    config = json.loads((model / "config.json").read_text())
    base, low = read_layers(out)
    ids = np.array([1, 410, 7, 93, 1203, 55, 640, 18, 2, 900])

    def adapted(x, module):
        y = x @ base[module + ".weight"].T
        if module in low:
            y = y + (x @ low[module]["A"].T) @ low[module]["B"].T
        return y

    def summed(x, module):
        Q, A, B = parts[module + ".weight"]
        return x @ (Q.astype("<f8") + (B.astype("<f8") @ A if A is not None else 0.0)).T

    want = llama(config, base, summed, ids)
    have = llama(config, base, adapted, ids)
    bare = llama(config, base, lambda x, module: x @ base[module + ".weight"].T, ids)
    size = np.abs(want).max()
    assert np.abs(have - want).max() <= 2e-5 * size, np.abs(have - want).max() / size
    assert np.abs(bare - want).max() > 1e-2 * size, "the adapter makes no difference"
    if importlib.util.find_spec("torch"):
        check_torch(base, low, parts, ids)


def check_torch(base, low, parts, ids):
    """The layers as PyTorch modules: names, shapes and what PEFT's layer computes."""
    import torch

    class Lora(torch.nn.Module):  # peft.tuners.lora.layer.Linear, scaling 1
        def __init__(self, d, k, r):
            super().__init__()
            self.base_layer = torch.nn.Linear(k, d, bias=False)
            self.lora_A = torch.nn.Linear(k, r, bias=False)
            self.lora_B = torch.nn.Linear(r, d, bias=False)

        def forward(self, x):
            return self.base_layer(x) + self.lora_B(self.lora_A(x)) * 1.0

    torch.manual_seed(0)
    for module, ab in low.items():
        Q, A, B = parts[module + ".weight"]
        layer = Lora(*Q.shape, A.shape[0])
        layer.load_state_dict({"base_layer.weight": torch.tensor(base[module + ".weight"]),
                               "lora_A.weight": torch.tensor(ab["A"]),
                               "lora_B.weight": torch.tensor(ab["B"])}, strict=True)
        x = torch.randn(3, Q.shape[1])
        want = x.double() @ torch.tensor(Q.astype("<f8") + B.astype("<f8") @ A).T
        assert torch.allclose(layer(x).double(), want, rtol=1e-4, atol=1e-4 * want.abs().max().item())
    print("PyTorch agrees")


def main(model, plan, out, *flags):
    model, out = pathlib.Path(model), pathlib.Path(out)
    plan = json.loads(pathlib.Path(plan).read_text())
    parts = read_packed(out, plan)
    check_base(model, out, parts)
    if any(A is not None for _, A, _ in parts.values()):
        check_adapter(out, parts)
    else:
        assert not (out / "adapter").exists()
    if (out / "bnb").exists():
        check_bnb(model, out, plan, parts)
    check_errors(model, out, parts)
    if "--logits" in flags:
        check_logits(model, out, parts)
    print("%d matrices" % len(parts))


if __name__ == "__main__":
    main(*sys.argv[1:])
