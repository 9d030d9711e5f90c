#!/usr/bin/env node
// Builds a CMake project of cuda/ with nvcc for the GPU at hand, or with PADLESS_CUDA=all for every architecture of
// sources.json.   node scripts/cuda-build.mjs SOURCE FOLDER PROGRAM
// Exit code 0: PROGRAM is in FOLDER, an earlier one where there is no nvcc. 1: an error. 4: neither.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const found = (command, ...args) => spawnSync(command, args, { stdio: 'ignore' }).status === 0;

/** Whether the driver lists a GPU. */
export const hasGpu = () => found('nvidia-smi', '-L');

/** Runs a command in the checkout; its exit code. */
export function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error !== undefined) console.error(`${command}: ${error.message}`);
  return status ?? 1;
}

/** Where there is no GPU to ask, the portable architecture, so that what can be checked is checked. */
function architectures() {
  if (process.env.PADLESS_CUDA === 'all')
    return JSON.parse(readFileSync(join(root, 'sources.json'), 'utf8')).cuda.architectures.join(';');
  return hasGpu() ? 'native' : '80';
}

/** The exit code. */
export function buildCuda(source, folder, program) {
  if (found('nvcc', '--version') && found('cmake', '--version')) {
    const configure = ['-S', source, '-B', folder, `-DCMAKE_CUDA_ARCHITECTURES=${architectures()}`];
    const jobs = String(availableParallelism());
    if (run('cmake', configure) === 0 && run('cmake', ['--build', folder, '--parallel', jobs]) === 0)
      return 0;
    console.error(`the build of ${source} failed`);
    return 1;
  }
  if (existsSync(join(root, folder, program))) {
    console.log(`there is no nvcc on the PATH, or no cmake: the earlier build in ${folder} is used`);
    return 0;
  }
  console.error(
    `there is no nvcc on the PATH, or no cmake, and no earlier build at ${join(folder, program)}`,
  );
  return 4;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  process.exitCode = buildCuda(...process.argv.slice(2));
}
