#!/usr/bin/env node
// Builds cuda/bench with nvcc, where there is one, and runs it with the given arguments (see --help).
// Exit code 0: measured. 1: an error. 2: wrong arguments. 3: no usable GPU. 4: neither nvcc nor an earlier build.
import { pathToFileURL } from 'node:url';
import { buildCuda, hasGpu, run } from './cuda-build.mjs';

const folder = 'build/bench-cuda';
const NO_GPU = 3;

const compile = () => buildCuda('cuda/bench', folder, 'kernel_bench');

/** 0, or the exit code that says why nothing can be measured. Asks for the GPU first: compiling takes minutes. */
export function build() {
  if (hasGpu()) return compile();
  console.error(
    'bench:cuda: no usable GPU: nvidia-smi -L lists none; scripts/verify-gpu.sh --build compiles without one',
  );
  return NO_GPU;
}

/** Runs the program; its exit code. */
export const measure = (args) => run(`${folder}/kernel_bench`, args);

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const args = process.argv.slice(2);
  process.exitCode = (args.includes('--help') ? compile() : build()) || measure(args);
}
