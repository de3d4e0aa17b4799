#!/bin/sh
# run.sh default|tuned MODEL_NAME MODEL.onnx PORT SCRATCH_FOLDER, from the repository's root.
exec build/peers/litserve/bin/python -m benchmarks.peers.litserve.server "$@"
