#!/usr/bin/env node
// Builds cuda/bench with nvcc, where there is one, and runs it with the given arguments (see --help).
// Exit code 0: measured. 1: an error. 2: wrong arguments. 3: no usable GPU. 4: neither nvcc nor an earlier build.
import { pathToFileURL } from 'node:url';
import { buildCuda, run } from './cuda-build.mjs';

const folder = 'build/bench-cuda';

/** 0, or the exit code that says why there is no program. */
export const build = () => buildCuda('cuda/bench', folder, 'kernel_bench');

/** Runs the program; its exit code. */
export const measure = (args) => run(`${folder}/kernel_bench`, args);

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  process.exitCode = build() || measure(process.argv.slice(2));
}
