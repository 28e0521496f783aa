#!/usr/bin/env bats
# bitplan sample: a synthetic model folder.
# shellcheck disable=SC2154,SC2016 # variables of helpers.bash; dollars of jq

load helpers

setup_file() {
    make_model "$model"
}

@test "the same seed gives the same bytes, another seed others" {
    make_model again --seed 0
    diff -r "$model" again
    make_model other --seed 1
    differ other/model.safetensors again/model.safetensors
}

@test "the folder is a Llama that says synthetic, and nothing else is in it" {
    holds "$model" config.json model.safetensors
    jq -e '.architectures == ["LlamaForCausalLM"] and .bitplan_synthetic == true' "$model/config.json"
    works info "$model" --json
    json '.synthetic and .matrices == 7 and .architecture == "LlamaForCausalLM"'
}

@test "--layers, --hidden and --shapes set the sizes" {
    works sample m --layers 3 --hidden 128 --seed 5
    says "synthetic model of 3 layers, hidden size 128, seed 5"
    works info m --json
    json '.matrices == 21 and ([.tensors[] | select(.planned) | .shape | max] | max) == 512'
    works sample t --shapes tiny --layers 1
    works info t --json
    json '.matrices == 7 and ([.tensors[].shape | max] | max) == 688'
}

@test "an existing model is kept, and --force replaces it" {
    cp -r "$model" m
    refuses 1 "m" sample m --layers 1 --hidden 64 --seed 1
    diff -r "$model" m
    works sample m --layers 1 --hidden 64 --seed 1 --force
    differ "$model/model.safetensors" m/model.safetensors
    holds m config.json model.safetensors
}

@test "--force leaves files that are not the model's" {
    cp -r "$model" m
    echo mine >m/notes.txt
    works sample m --layers 1 --hidden 64 --force
    [[ $(cat m/notes.txt) == mine ]]
    diff -r "$model" m -x notes.txt
}

@test "wrong sizes are a usage error, and nothing is made" {
    refuses 2 "multiple of 64" sample m --hidden 65
    refuses 2 "--hidden" sample m --hidden 0
    refuses 2 "--layers" sample m --layers 0
    refuses 2 "--layers" sample m --layers 1001
    refuses 2 "--seed" sample m --seed -1
    refuses 2 "not a known shape" sample m --shapes llama-9
    holds .
}

@test "a folder that cannot be made or is a file" {
    refuses 1 "no/where" sample no/where --layers 1 --hidden 64
    echo text >file
    refuses 1 "file" sample file --layers 1 --hidden 64
    refuses 1 "file" sample file/m --layers 1 --hidden 64
    refuses 1 "file" sample file --layers 1 --hidden 64 --force
    [[ $(cat file) == text ]]
    holds . file
}

@test "a read-only folder: one line, nothing left" {
    in_locked_folder "$BITPLAN" sample locked/m --layers 1 --hidden 64
    is_refusal 1 "locked/m"
}

@test "a full disk: one line, nothing left" {
    need_mounts
    attempt on_small_disk 128k "$BITPLAN" sample disk/m --layers 1 --hidden 64 --progress none
    is_refusal 1 disk
    grep -v '^disk/m$' disk.list && return 1
    attempt on_small_disk 128k "$BITPLAN" sample disk --layers 1 --hidden 64 --progress none
    is_refusal 1 disk
    [[ ! -s disk.list ]]
}

@test "a limit on file sizes is like a full disk" {
    attempt bash -c 'ulimit -f 64; "$@"' bash "$BITPLAN" sample m --layers 1 --hidden 64 --progress none
    is_refusal 1 "m/model.safetensors"
    [[ ! -d m ]] || holds m
}
