#!/bin/sh
# run.sh default|tuned|haproxy MODEL_NAME MODEL.onnx PORT SCRATCH_FOLDER, from the repository's root.
# Ray hands the environment of its first process to all others, so the flags are set here.
export RAY_USAGE_STATS_ENABLED=0 PYTHONPATH="$PWD"
# No cluster of several machines: Ray's daemons then listen on the loopback interface only. The name
# is of the systems where that is the default.
export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0
if [ "$1" = haproxy ]; then
    # Ray's throughput flag sets the others: user code and router in the replica's own loop, gRPC
    # between processes, buffered logs, frozen garbage collector, requests straight to replicas.
    export RAY_SERVE_THROUGHPUT_OPTIMIZED=1 RAY_SERVE_ENABLE_HA_PROXY=1
    export RAY_SERVE_HAPROXY_NBTHREAD=1
    # Its fixed paths and ports, moved where they disturb nobody else.
    export RAY_SERVE_HAPROXY_METRICS_PORT="$(build/peers/rayserve/bin/python -m benchmarks.peers.ports)"
    export RAY_SERVE_HAPROXY_STATS_PORT="$(build/peers/rayserve/bin/python -m benchmarks.peers.ports)"
    export RAY_SERVE_HAPROXY_CONFIG_FILE_LOC="$5/haproxy.cfg"
    export RAY_SERVE_HAPROXY_SOCKET_PATH="$5/admin.sock"
    export RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH="$5/metrics.sock"
    export RAY_SERVE_HAPROXY_SERVER_STATE_BASE="$5"
    export RAY_SERVE_HAPROXY_SERVER_STATE_FILE="$5/server-state"
fi
exec build/peers/rayserve/bin/python -m benchmarks.peers.rayserve.server "$@"
