#!/bin/sh
. "$(dirname "$0")/../environment.sh"
make_environment litserve "${PYTHON:-python3}"
