#!/bin/sh
# run.sh default|tuned|batched MODEL_NAME MODEL.onnx PORT SCRATCH_FOLDER, from the repository's root.
# The settings files are written for the row, then served as the documentation has it.
set -eu
build/peers/mlserver/bin/python -m benchmarks.peers.mlserver.settings "$@"
export PYTHONPATH="$PWD"
cd "$5"
exec "$PYTHONPATH/build/peers/mlserver/bin/mlserver" start .
