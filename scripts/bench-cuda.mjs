#!/usr/bin/env node
// Builds cuda/bench with nvcc, where there is one, and runs it with the given arguments (see --help).
// Exit code 0: measured. 1: an error. 2: wrong arguments. 3: no usable GPU. 4: neither nvcc nor an earlier build.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const build = join(root, 'build/bench-cuda');
const program = join(build, 'kernel_bench');

const found = (command, ...args) => spawnSync(command, args, { stdio: 'ignore' }).status === 0;

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error !== undefined) console.error(`bench:cuda: ${command}: ${error.message}`);
  return status ?? 1;
}

/** Where there is no GPU to ask, the portable architecture, so that what can be checked is checked. */
function architectures() {
  return found('nvidia-smi', '-L') ? 'native' : '80';
}

function main(args) {
  if (found('nvcc', '--version') && found('cmake', '--version')) {
    const configure = ['-S', 'cuda/bench', '-B', build, `-DCMAKE_CUDA_ARCHITECTURES=${architectures()}`];
    if (run('cmake', configure) !== 0 || run('cmake', ['--build', build, '--parallel', '2']) !== 0) {
      console.error('bench:cuda: the build failed');
      return 1;
    }
  } else if (!existsSync(program)) {
    console.error(`bench:cuda: there is no nvcc on the PATH, and no earlier build at ${program}`);
    return 4;
  }
  return run(program, args);
}

process.exitCode = main(process.argv.slice(2));
