#!/bin/sh
# run.sh default|tuned MODEL_NAME MODEL.onnx PORT SCRATCH_FOLDER, from the repository's root.
exec build/peers/pytriton/bin/python -m benchmarks.peers.pytriton.server "$@"
