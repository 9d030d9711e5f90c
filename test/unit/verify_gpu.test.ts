// scripts/verify-gpu.sh and what it runs, with stand-ins for what only a machine with a GPU has.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../support/child';
import { scratchDirectory, writeTree } from '../support/scratch';

const folder = scratchDirectory();

/** Programs that the PATH finds first. */
function standIns(name: string, programs: Record<string, string>): string {
  const path = writeTree(join(folder, name), programs);
  for (const program of Object.keys(programs)) chmodSync(join(path, program), 0o755);
  return path;
}
const gpu = standIns('bin', {
  'nvidia-smi': `#!/bin/sh
case "$*" in -L) echo 'GPU 0: A GPU';; *compute_cap*) echo 8.0;; *) echo 'A GPU, 580.1, 1980 MHz, 700.00 W';; esac
`,
});

/** As kernel_bench prints and writes; it fails for shape large, and hangs for ladders. */
const KERNEL_BENCH = `#!${process.execPath}
const { appendFileSync } = require('node:fs');
const args = process.argv.slice(2);
const value = (name) => args[args.indexOf('--' + name) + 1];
const [op, shape] = [value('op'), value('shape')];
if (op === 'ladder') setInterval(() => {}, 1000);
else for (const each of op.split(',')) {
  const line = { device: 'A GPU', op: each, name: 'variant', shape, us: 10, flops: 1e9, bytes: 1e7 };
  appendFileSync(value('json'), JSON.stringify({ ...line, fraction_of_roof: 0.5, cublaslt_us: 8 }) + '\\n');
  console.log(each);
}
if (shape === 'large') process.exitCode = 1;
`;
const bench = join(standIns('bench', { kernel_bench: KERNEL_BENCH }), 'kernel_bench');
const noGpu = join(standIns('none', { kernel_bench: '#!/bin/sh\nexit 3\n' }), 'kernel_bench');

const tiny = { layers: 1, hidden: 32, heads: 2, intermediate: 64, positions: 16 };
const load = { model: 'tiny', batch: 2, cap: 4, kind: 'full', seed: 1, compiled: false, lengths: [4, 3] };
const plan = {
  models: { tiny },
  endToEnd: [
    { ...load, experiment: 'texts' },
    { ...load, experiment: 'texts', cap: 99, lengths: [99] },
    { ...load, experiment: 'e1', seed: 2 },
  ],
  attention: [
    { experiment: 'e3', batch: 2, cap: 4, heads: 2, headDim: 64, kind: 'full', seed: 1, lengths: [4, 4] },
  ],
  products: { shapes: ['base', 'large'], tokens: [64] },
  ladderCaps: [128],
};
const planFile = join(writeTree(folder, { 'plan.json': plan }), 'plan.json');

const run = (command: string, args: string[], env: Record<string, string> = {}) =>
  spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, PATH: `${gpu}:${process.env['PATH']}`, ...env },
  });
const node = (script: string, ...args: string[]) => run(process.execPath, [script, ...args]);

const jsonLines = (file: string) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('scripts/verify-gpu.sh', () => {
  test('a GPU that is not there has an exit code of its own', () => {
    const path = standIns('no-gpu', { 'nvidia-smi': '#!/bin/sh\nexit 9\n' });
    const { status, stdout } = run('bash', ['scripts/verify-gpu.sh'], {
      PATH: `${path}:${process.env['PATH']}`,
    });
    expect({ status, stdout }).toMatchObject({ status: 3, stdout: expect.stringContaining('no NVIDIA GPU') });
  });

  test.each([
    [['--fast'], 'unknown option --fast'],
    [['--only', 'addon,everything'], "--only has no 'everything'; there are: addon build vectors"],
    [['--minutes', 'ten'], "--minutes is 'ten', not a whole number"],
    [['--out'], '--out needs a value'],
  ])('%j is refused', (args, message) => {
    const { status, stderr } = run('bash', ['scripts/verify-gpu.sh', ...args]);
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining(message) });
  });

  test('steps that fail, are stopped or cannot run take nothing from the others', () => {
    const out = join(folder, 'results/gpu.json');
    const { status, stdout } = run(
      'bash',
      [
        ...['scripts/verify-gpu.sh', '--only', 'addon,vectors,kernels,encoders,bench,torch,sanitizer,grid'],
        ...['--device', 'cpu', '--plan', planFile, '--out', out],
      ],
      { KERNEL_BENCH: bench, PYTHON: '/nowhere/python', PADLESS_STEP_SECONDS: '20' },
    );
    expect(status).toBe(1);
    const report = JSON.parse(readFileSync(out, 'utf8')) as Record<string, Record<string, unknown>[]>;
    expect(report['steps']!.map(({ name, outcome }) => `${name}: ${outcome}`)).toEqual([
      'addon: passed',
      'instruction vectors: skipped',
      'kernel tests: skipped',
      'end to end: FAILED',
      'microbenchmarks: FAILED',
      'PyTorch: skipped',
      'compute-sanitizer: skipped',
      "ByteTransformer's grid: passed",
    ]);
    const texts = report['endToEnd']!.map(({ experiment, cap, ms, error }) => ({
      experiment,
      cap,
      ms,
      error,
    }));
    expect(texts).toEqual([
      { experiment: 'texts', cap: 4, ms: expect.any(Number), error: undefined },
      { experiment: 'texts', cap: 99, ms: undefined, error: expect.stringContaining('positions') },
      { experiment: 'e1', cap: 4, ms: expect.any(Number), error: undefined },
    ]);
    const kernels = report['kernels']!.map(({ experiment, op, shape, error }) => [
      experiment,
      op ?? error,
      shape,
    ]);
    expect(kernels).toContainEqual(['gemm', 'linear', 'base']);
    expect(kernels).toContainEqual(['gemm', expect.stringContaining('exit code 1'), undefined]);
    expect(kernels).toContainEqual(['e3', 'attention', '128x2x512']);
    expect(kernels).toContainEqual(['rows', 'pool_rows', 'base']);
    expect(stdout).toMatch(/FAILED +microbenchmarks .*stopped after 20 s/);
    expect(stdout).toMatch(/tiny +2 x 4, full .*no rival/);
    expect(stdout).toContain('3 measurements failed');
  });
});

describe('npm run bench:cuda', () => {
  const script = readFileSync(join(root, 'scripts/bench-cuda.mjs'), 'utf8');
  const builder = readFileSync(join(root, 'scripts/cuda-build.mjs'), 'utf8');
  const scripts = { 'scripts/bench-cuda.mjs': script, 'scripts/cuda-build.mjs': builder };
  const lists = '#!/bin/sh\necho GPU 0: A GPU\n';
  const noted = (checkout: string) => `#!/bin/sh\necho "$0 $*" >>${checkout}/calls\n`;

  /** Runs the script in a checkout of its own, with these programs alone on the PATH. */
  function bench(name: string, programs: Record<string, string>, ...args: string[]) {
    const checkout = writeTree(join(folder, name), scripts);
    const main = join(checkout, 'scripts/bench-cuda.mjs');
    return run(process.execPath, [main, ...args], { PATH: standIns(`${name}-bin`, programs) });
  }

  test.each([
    ['a driver that lists none', { 'nvidia-smi': '#!/bin/sh\nexit 9\n' }],
    ['no driver', {}],
  ])('%s: code 3 at once, and nothing is compiled', (name, driver) => {
    const compilers = { nvcc: noted(join(folder, name)), cmake: noted(join(folder, name)) };
    const { status, stderr } = bench(name, { ...driver, ...compilers }, '--op', 'linear');
    expect({ status, stderr }).toEqual({ status: 3, stderr: expect.stringContaining('no usable GPU') });
    expect(existsSync(join(folder, name, 'calls'))).toBe(false);
  });

  test('neither nvcc nor an earlier build: code 4', () => {
    const { status, stderr } = bench('bare', { 'nvidia-smi': lists });
    expect({ status, stderr }).toEqual({
      status: 4,
      stderr: expect.stringContaining('no earlier build at build/bench-cuda/kernel_bench'),
    });
    expect(bench('bare-help', {}, '--help').status).toBe(4);
  });

  test('an earlier build is run where there is no nvcc, for help without a GPU too', () => {
    for (const [name, programs, args] of [
      ['earlier', { 'nvidia-smi': lists }, ['--op', 'linear']],
      ['earlier-help', {}, ['--help']],
    ] as const) {
      const built = join(
        writeTree(join(folder, name), {
          'build/bench-cuda/kernel_bench': '#!/bin/sh\necho "ran $*"\nexit 2\n',
        }),
      );
      chmodSync(join(built, 'build/bench-cuda/kernel_bench'), 0o755);
      expect(bench(name, programs, ...args)).toMatchObject({
        status: 2,
        stdout: expect.stringContaining(`ran ${args.join(' ')}`),
      });
    }
  });
});

describe('bench/gpu', () => {
  test('kernels.mjs ends at once where no run can succeed, and begins none out of time', () => {
    const out = join(folder, 'kernels.jsonl');
    const measure = (...args: string[]) =>
      node('bench/gpu/kernels.mjs', '--plan', planFile, '--out', out, ...args);
    expect(measure('--program', noGpu).status).toBe(3);
    expect(existsSync(out)).toBe(false);
    const late = measure('--program', bench, '--seconds', '0', '--only', 'gemm,e3');
    expect(late).toMatchObject({ status: 0, stdout: '0 failed, 3 left out for want of time\n' });
    expect(measure('--program', bench, '--only', 'e3').status).toBe(0);
    expect(jsonLines(out)).toMatchObject([{ experiment: 'e3', cap: 4, heads: 2, us: 10 }]);
    expect(measure('--only', 'e9')).toMatchObject({ status: 2, stderr: expect.stringContaining("no 'e9'") });
    expect(node('bench/gpu/kernels.mjs')).toMatchObject({ status: 2 });
  });

  test('end_to_end.mjs says what it measured', () => {
    const out = join(folder, 'padless.jsonl');
    const args = ['--device', 'cpu', '--dtype', 'f32', '--reps', '2', '--plan', planFile, '--out', out];
    expect(node('bench/gpu/end_to_end.mjs', ...args, '--only', 'e1')).toMatchObject({
      status: 0,
      stderr: '',
    });
    expect(jsonLines(out)).toEqual([
      expect.objectContaining({
        ...{ experiment: 'e1', model: 'tiny', batch: 2, cap: 4, kind: 'full', seed: 2, peer: 'padless' },
        ...{ dtype: 'f32', tokens: 7, ms: expect.any(Number), queued_ms: expect.any(Number) },
        ...{ overlap_ms: expect.any(Number), batch_ms: expect.any(Number) },
      }),
    ]);
  });
});
