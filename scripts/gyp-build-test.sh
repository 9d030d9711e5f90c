#!/usr/bin/env bash
# The addon must also build without cmake: node-gyp in a copy of the tree, then one forward with that addon. What is
# asked is whether binding.gyp has everything it needs, so the compiler spends little on optimising.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git ls-files -z -- lib sources.json binding.gyp package.json scripts | xargs -0 cp --parents -t "$work"
ln -s "$PWD/node_modules" "$work/node_modules"
cp -r dist "$work/dist"
cd "$work"
CXXFLAGS=-O0 PADLESS_BUILD=gyp node scripts/build.mjs --native
node dist/cli/main.js inspect
