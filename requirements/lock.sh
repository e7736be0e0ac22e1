#!/usr/bin/env bash
# Writes the locks: hashes, no index address, one for developers and one per image.
#   requirements/lock.sh [uv options, e.g. --upgrade]
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}
local=$(sed -n 's/^name = "\(.*\)"/--no-emit-package \1/p' libs/*/pyproject.toml services/*/pyproject.toml cli/pyproject.toml simulators/pyproject.toml)
compile() {
  local out=$1; shift
  # shellcheck disable=SC2086  # word splitting of $local is meant
  "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate $local "$@" -o "$out"
}
members=(libs/*/pyproject.toml services/*/pyproject.toml cli/pyproject.toml simulators/pyproject.toml)
compile requirements/dev.txt requirements/dev.in "${members[@]}" "$@"
