#!/usr/bin/env node
// Formats every C++ and CUDA file that git tracks, or with --check names those that are not formatted.
import { execFileSync, spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

const { getNativeBinary } = createRequire(import.meta.url)('clang-format');
const files = execFileSync('git', ['ls-files', 'lib', 'cuda', 'test', 'bench'], { encoding: 'utf8' })
  .split('\n')
  .filter((file) => /\.(cc|h|cu|cuh)$/.test(file));
if (files.length > 0) {
  const mode = process.argv.includes('--check') ? ['--dry-run', '--Werror'] : ['-i'];
  const { status } = spawnSync(getNativeBinary(), [...mode, ...files], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
}
