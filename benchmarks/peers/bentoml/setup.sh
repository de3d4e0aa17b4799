#!/bin/sh
. "$(dirname "$0")/../environment.sh"
make_environment bentoml "${PYTHON:-python3}"
