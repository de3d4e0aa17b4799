#!/bin/sh
# run.sh default|tuned MODEL_NAME MODEL.onnx PORT SCRATCH_FOLDER, from the repository's root.
# `exec` keeps the process id; telemetry is off, because a benchmark sends nothing anywhere.
export PEER_ROW="$1" PEER_MODEL="$3" BENTOML_HOME="$5" BENTOML_DO_NOT_TRACK=True
exec build/peers/bentoml/bin/bentoml serve benchmarks.peers.bentoml.service:service \
    --host 127.0.0.1 --port "$4"
