#!/bin/sh
. "$(dirname "$0")/../environment.sh"
make_environment rayserve "${PYTHON:-python3}"
