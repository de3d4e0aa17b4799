#!/bin/sh
. "$(dirname "$0")/../environment.sh"
make_environment mlserver "${PYTHON:-python3}"
