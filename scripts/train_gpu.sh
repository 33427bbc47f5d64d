#!/usr/bin/env bash
# Train the 128 x 128 tokenizer and generator on one large GPU, from a fresh copy of the project.
#
#   make train-gpu DATA=folder [MINUTES=25] [OUT=runs/fashion-128] [PACK=folder] [SMOKE=1]
#
# DATA     the data set as downloaded (images/ and styles.csv), or a folder with train/ and val/, or
#          a folder of pictures or shards, or addresses of shards
# MINUTES  for the training of both stages together, two fifths of it for the tokenizer
# OUT      everything goes here; the finished model, in half precision, to OUT/export
# PACK     also copy the export there as one archive in files of 15 MiB (`cat model.tar.* | tar x`)
# SMOKE    tiny sizes and a few steps, on any machine: does the script run?
#
# Run it again after an interruption and it goes on from the last checkpoint; time that was spent
# counts. What is installed already is left alone, torch above all.
set -euo pipefail
cd "$(dirname "$0")/.."

DATA=${DATA:?give DATA=folder, see the head of scripts/train_gpu.sh}
MINUTES=${MINUTES:-25}
OUT=${OUT:-runs/fashion-128}
NAME=$(basename "$OUT")
PYTHON=${PYTHON:-python3}

say() { echo "train-gpu: $*" >&2; }
has() { "$1" -c "import importlib.util as u, sys; sys.exit(any(not u.find_spec(n) for n in sys.argv[2:]))" - "${@:2}"; }

# 1. A Python with what training needs. A torch that is there is used and never replaced.
if [ -x .venv/bin/python ] && has .venv/bin/python torch; then PYTHON=.venv/bin/python; fi
[ -x .venv-gpu/bin/python ] && PYTHON=.venv-gpu/bin/python
needed=(accelerate einops huggingface_hub kornia lpips numpy PIL pytorch_lightning rich safetensors
    taming tokenizers torchvision typer webdataset yaml)
if ! has "$PYTHON" torch; then
    say "no torch here: installing everything into ${VIRTUAL_ENV:-.venv}"
    make --no-print-directory setup PYTHON="$PYTHON"
    PYTHON=${VIRTUAL_ENV:-.venv}/bin/python
elif ! has "$PYTHON" "${needed[@]}"; then
    # An environment's own packages are seen by no environment made from it.
    if "$PYTHON" -c 'import sys; sys.exit(sys.prefix == sys.base_prefix)'; then
        say "installing what is missing beside the torch that is there"
    else
        say "installing what is missing into .venv-gpu, beside the torch that is there"
        "$PYTHON" -m venv --system-site-packages .venv-gpu
        inside=.venv-gpu/bin/python
    fi
    constraint=$(mktemp)
    "$PYTHON" -c "
from importlib.metadata import PackageNotFoundError, version
for name in ('torch', 'torchvision', 'numpy'):
    try: print(f'{name}=={version(name)}')
    except PackageNotFoundError: pass" >"$constraint"
    PYTHON=${inside:-$PYTHON}
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --constraint "$constraint" \
        --editable '.[train]'
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --constraint "$constraint" \
        xformers || say "no xformers for this torch: attention is torch's own"
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
ufc() { "$PYTHON" -m ufc "$@"; }

# 2. The data: shards made of the data set as downloaded, or what is given.
TRAIN=$DATA VAL=
if [ -f "$DATA/styles.csv" ]; then
    if [ ! -f "$OUT/data/.done" ]; then
        say "writing shards into $OUT/data"
        "$PYTHON" scripts/prepare_fashion.py "$DATA" --output-dir "$OUT/data"
        touch "$OUT/data/.done"
    fi
    TRAIN=$OUT/data/train VAL=$OUT/data/val
elif [ -d "$DATA/train" ]; then
    TRAIN=$DATA/train
    [ -d "$DATA/val" ] && VAL=$DATA/val
fi
held_out=(${VAL:+--val-data-dir "$VAL"})

# 3. Both stages. A stage that is finished has written its model; another one goes on.
minutes() { "$PYTHON" -c "print($MINUTES * $1)"; }
first=(--config configs/fashion-128-tokenizer.yaml --max-train-minutes "$(minutes 0.4)")
second=(--config configs/fashion-128.yaml --max-train-minutes "$(minutes 0.6)")
if [ -n "${SMOKE:-}" ]; then
    first+=(--resolution 32 --ch 16 --num-res-blocks 1 --z-channels 16 --n-embed 64 --perceptual-net none
        --train-batch-size 4 --max-train-steps 12 --codebook-start 4 --discriminator-start 0.5
        --checkpointing-steps 5 --logging-steps 4 --validation-pictures 8)
    second+=(--width 32 --depth 2 --heads 2 --feed-forward 64 --train-batch-size 4
        --max-train-steps 12 --estimator-start 0.5 --estimator-samples 4 --augmentations 1
        --checkpointing-steps 5 --logging-steps 4)
fi
if [ ! -f "$OUT/tokenizer/config.json" ]; then
    say "first stage: pictures to codes and back"
    ufc train-tokenizer "${first[@]}" --train-data-dir "$TRAIN" "${held_out[@]}" \
        --output-dir "$OUT/tokenizer" --resume-from-checkpoint latest
fi
if [ ! -f "$OUT/model/model_index.json" ]; then
    say "second stage: controls to codes"
    ufc train "${second[@]}" --train-data-dir "$TRAIN" "${held_out[@]}" \
        --tokenizer "$OUT/tokenizer" --output-dir "$OUT/model" --resume-from-checkpoint latest
fi

# 4. The model to keep: half precision, small files, every one with its hash.
"$PYTHON" scripts/bundle.py "$OUT/model" --name "$NAME" --output-dir "$OUT/export" --shard-size 15MB
if [ -n "${PACK:-}" ]; then
    mkdir -p "$PACK"
    rm -f "$PACK"/model.tar.*
    tar -C "$OUT/export" -cf - . | split -b 15M -d -a 2 - "$PACK/model.tar."
    tail -n 1000 "$OUT"/{tokenizer,model}/metrics.jsonl >"$PACK/metrics.txt"
    cp "$(ls "$OUT"/model/preview-*.png | tail -n 1)" "$PACK/preview.png"
    say "packed into $PACK"
fi
say "done: ufc generate --model $OUT/export/$NAME --prompt ..."
