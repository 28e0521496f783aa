#!/bin/bash
#SBATCH --job-name=bitplan
#SBATCH --array=1-8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=bitplan-%A_%a.log
#
# Measures the error table of a model by a Slurm array, one part file a task:
#
#   sbatch docs/slurm-array.sh MODEL TABLE.safetensors [OPTIONS OF bitplan measure]
#   bitplan merge TABLE.safetensors.part-* -o TABLE.safetensors
#
# The same sbatch line again, or a requeue, goes on where the tasks were. BITPLAN names the program
# where it is not in the PATH.
set -eu
if [ $# -lt 2 ]; then
    echo "usage: sbatch $0 MODEL TABLE.safetensors [OPTIONS]" >&2
    exit 2
fi
model=$1
part=$2.part-$SLURM_ARRAY_TASK_ID
shift 2
exec "${BITPLAN:-bitplan}" measure "$model" -o "$part" --shard auto "$@"
