#!/usr/bin/env bats
# --backend and info --backends: what computes, and why it cannot. A fake driver and the object that
# runs the kernels on the CPU stand in for a machine with a device.
# shellcheck disable=SC2154 # variables of helpers.bash

load helpers

: "${EMU_DIR:=$project/build/release}"
fast=(--grid b0=2,3:b1=4:b2=fp32:B0=64:B1=256 --rank 4 --effort full --progress none)

setup_file() {
    make_model "$model"
}

# --- machines ---

with_device() { # a driver with a device, and the object
    export LD_LIBRARY_PATH=$EMU_DIR/tests/gpu BITPLAN_CUDA=$EMU_DIR/libbitplan_cuemu.so
}

without_driver() { # whatever the machine has: what the loader finds first is no library
    mkdir -p none
    : >none/libcuda.so.1
    export LD_LIBRARY_PATH=$PWD/none
}

# --- tests ---

@test "without a driver: said by info, an error for cuda, no word from auto" {
    without_driver
    works info --backends
    says "cpu   " "cuda  cannot be used: no NVIDIA driver: " "libcuda.so.1"
    works info --backends --json
    json '.what == "backends" and (.backends | map(.name)) == ["cpu", "cuda"]'
    json '.backends[0].usable and .backends[0].threads >= 1'
    json '.backends[1] | .usable == false and .cause == "no driver" and .object == null'
    refuses 1 "--backend cuda: no NVIDIA driver" measure "$model" -o t "${fast[@]}" --backend cuda
    absent t
    works measure "$model" -o t "${fast[@]}" --backend auto
}

@test "a driver without a device, a stub of a driver" {
    with_device
    FAKE_CUDA_INIT=100 works info --backends
    says "cannot be used: the NVIDIA driver sees no device"
    FAKE_CUDA_DEVICES=0 works info --backends --json
    json '.backends[1].cause == "no device"'
    FAKE_CUDA_INIT=34 works info --backends --json
    json '.backends[1] | .cause == "driver fails" and (.reason | test("cuInit says 34"))'
}

@test "a device, but no object, or one that lacks a library, or another version's" {
    with_device
    unset BITPLAN_CUDA
    cp "$BITPLAN" bitplan
    attempt ./bitplan info --backends
    [[ $status -eq 0 && -z $stderr ]] || show_last
    says "built without CUDA: there is no libbitplan_cuda.so in $PWD or its ../lib/bitplan"
    export BITPLAN_CUDA=$EMU_DIR/tests/gpu/fake_lacking.so
    works info --backends --json
    json '.backends[1] | .cause == "library missing" and (.reason | test("libbp_no_such.so.1: "))'
    export BITPLAN_CUDA=$EMU_DIR/tests/gpu/fake_other.so
    works info --backends --json
    json '.backends[1] | .cause == "other version" and (.object | test("fake_other.so$"))'
}

@test "the object is found beside the program and where make install puts it" {
    with_device
    unset BITPLAN_CUDA
    mkdir -p bin lib/bitplan
    cp "$BITPLAN" bin/bitplan
    ln -s "$EMU_DIR/libbitplan_cuemu.so" lib/bitplan/libbitplan_cuda.so
    attempt bin/bitplan info --backends --json
    json --arg path "$PWD/bin/../lib/bitplan/libbitplan_cuda.so" '.backends[1].object == $path'
    mv lib/bitplan/libbitplan_cuda.so bin
    attempt bin/bitplan info --backends --json
    json --arg path "$PWD/bin/libbitplan_cuda.so" '.backends[1].object == $path'
}

@test "with a device cuda measures, and auto takes it; the errors are near the CPU's" {
    with_device
    works info --backends
    says "cuda  the CPU, emulating a device, compute capability 9.0, 4.00 GiB of 4.00 GiB free"
    works info --backends --json
    json '.backends[1] | .usable and .cause == "usable" and .reason == null and .bytes == 4294967296'
    works measure "$model" -o cuda.safetensors "${fast[@]}" --backend cuda
    works measure "$model" -o auto.safetensors "${fast[@]}" --backend auto
    cmp cuda.safetensors auto.safetensors
    works measure "$model" -o cpu.safetensors "${fast[@]}"
    differ cuda.safetensors cpu.safetensors
    works solve cuda.safetensors --bits 2.6 --json
    local error
    error=$(jq .totals.error <<<"$output")
    works solve cpu.safetensors --bits 2.6 --json
    json --argjson cuda "$error" '(.totals.error - $cuda | fabs) < 0.05 * .totals.error'
}

@test "a table is gone on with, merged and measured again by the backend that made it" {
    with_device
    works measure "$model" -o t.safetensors "${fast[@]}" --backend cuda
    works info t.safetensors
    says "full on CUDA"
    works info t.safetensors --json
    json '.backend == "cuda"'
    refuses 1 "its backend is cuda, asked for is cpu" measure "$model" -o t.safetensors "${fast[@]}"
    works measure "$model" -o t.safetensors "${fast[@]}" --backend auto
    works solve t.safetensors --bits 2.6 -o plan.json
    works verify plan.json --model "$model" --remeasure
    without_driver
    refuses 1 "cannot be measured again: cuda: no NVIDIA driver" \
        verify plan.json --model "$model" --remeasure
}

@test "decompose on cuda: errors are the plan's up to rounding the low-rank parts" {
    with_device
    works measure "$model" -o t.safetensors "${fast[@]}" --backend cuda
    works solve t.safetensors --bits 2.6 -o plan.json
    works decompose plan.json "$model" -o out --backend cuda --low-rank-bits 32 --emit packed \
        --progress none --json
    json '.matrices | length == 7 and all(.[]; (.error.packed / .planned_error - 1 | fabs) < 1e-5)'
}

@test "auto says once why it leaves a device alone" {
    with_device
    export BITPLAN_CUDA=/nowhere.so
    attempt "$BITPLAN" measure "$model" -o t "${fast[@]}" --backend auto
    [[ $status -eq 0 && $stderr == "bitplan: computing on the CPU: BITPLAN_CUDA: there is no /nowhere.so" ]] ||
        show_last
}

@test "exact stays on the CPU, words that are no backend are refused" {
    with_device
    refuses 2 "effort exact is the reference procedure, which runs on the CPU" \
        measure "$model" -o t "${fast[@]}" --effort exact --backend cuda
    refuses 2 "there are cpu, cuda, auto" measure "$model" -o t "${fast[@]}" --backend gpu
    refuses 2 "--backends is for this machine" info --backends "$model"
    refuses 2 "usage: bitplan info FILE" info
}

@test "a device with too little memory is told so" {
    with_device
    BP_CUEMU_BYTES=50000 refuses 1 "cuda: a matrix of 16384 elements needs" \
        measure "$model" -o t "${fast[@]}" --backend cuda
}
