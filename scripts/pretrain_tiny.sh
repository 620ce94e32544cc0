#!/bin/sh
# Remakes the tiny base that ships with the package (src/fairgen/assets/tiny-base) from nothing:
# generic pictures, an autoencoder, a U-Net with its text encoder, then the copy in fp16.
# Usage: scripts/pretrain_tiny.sh WORK_FOLDER        Repeating the command resumes.
set -eu
work=${1:?"usage: scripts/pretrain_tiny.sh WORK_FOLDER"}
here=$(cd "$(dirname "$0")" && pwd)
# The seeds from 900001 on belong to this file: no study or test uses them.
[ -d "$work/shapes/train" ] || fairgen phantom shapes --count 24000 --size 64 --seed 900001 --out "$work/shapes"
fairgen split "$work/shapes" --fractions 0.9,0.05,0.05
OMP_NUM_THREADS=1 fairgen -v base tiny --cohort "$work/shapes" --out "$work/base" --seed 900002 \
    --set start=scratch --set autoencoder_steps=4000 --set mixed_precision=bf16
OMP_NUM_THREADS=2 fairgen -v train --method sd --cohort "$work/shapes" --base "$work/base" \
    --out "$work/unet" --seed 900003 --steps 2600 --checkpoint-every 400 \
    --set batch_size=32 --set accumulation=1 --set learning_rate=1e-3 --set warmup=100 \
    --set ema_decay=0.998 --set train_text_encoder=true --set empty_groups=allow --set grid_columns=0 \
    --set tracker=none --set log_every=10 --set probe_every=500
python "$here/store_tiny.py" "$work/unet/pipeline"
