// From what the steps of scripts/verify-gpu.sh leave behind to docs/performance.md, with made-up numbers.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../support/child';
import { scratchDirectory, writeTree } from '../support/scratch';

const node = (script: string, ...args: string[]) =>
  spawnSync(process.execPath, [join(root, script), ...args], { cwd: root, encoding: 'utf8' });

const lines = (values: readonly object[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('');

const text = { experiment: 'texts', model: 'base', batch: 16, cap: 512, kind: 'uniform0.6', seed: 1 };
const load = { experiment: 'e4', batch: 56, cap: 512, heads: 16, headDim: 64, kind: 'wiki', seed: 2 };
const kernel = (experiment: string, op: string, name: string, us: number, more: object = {}) => ({
  ...{ experiment, op, name, us, flops: us * 1e8, bytes: us * 1e6, fraction_of_roof: 0.5, shape: 'base' },
  ...more,
});
const product = (tokens: number, us: number, cublaslt_us: number) =>
  kernel('gemm', 'linear', `qkv [${tokens}, 2304, 768]`, us, { tokens, cublaslt_us });

const left = {
  gpu: 'A GPU, 580.1, 1980 MHz, 700.00 W\n',
  steps: 'addon\tpassed\t3\tcuda:0\ncompute-sanitizer\tskipped\t0\tthere is no compute-sanitizer\n',
  'padless.jsonl': lines([
    { ...text, peer: 'padless', tokens: 4915, ms: 2, overlap_ms: 1.75, tflops: 400 },
    { ...text, experiment: 'e1', kind: 'full', tokens: 8192, ms: 4, tflops: 410 },
    { ...text, batch: 64, error: 'the device is lost' },
  ]),
  'rivals.jsonl': lines([
    { section: 'bert', ...text, padded_sdpa_ms: 8, packed_ms: 4 },
    { section: 'bert', ...text, packed_graph_ms: 3, packed_graph_tflops: 1 },
    { section: 'bert', ...text, seed: 2, packed_graph_ms: 0.5 },
    { section: 'attention', ...load, varlen_us: 30, sdpa_us: 90, sdpa_unmasked_us: 10 },
  ]),
  'kernels.jsonl':
    lines([
      product(64, 10, 1),
      product(4096, 20, 10),
      product(65_536, 10, 20),
      kernel('e4', 'attention', 'single, as given', 25, load),
      kernel('e4', 'attention', 'persistent, as given', 20, load),
      kernel('e2', 'ladder', '+ unpadded', 80, { cap: 128 }),
      kernel('rows', 'rope', 'q and k', 40),
      { experiment: 'e2', cap: 256, error: 'exit code 1' },
    ]) + '{"cut off',
};

describe('results of a GPU', () => {
  const folder = scratchDirectory();
  const results = writeTree(join(folder, 'results'), {});
  const work = writeTree(join(folder, 'work'), left);
  const report = node('scripts/verify-gpu-report.mjs', work, join(results, 'gpu-abc.json'));

  test('one file, and a table last', () => {
    expect(report).toMatchObject({ status: 0, stderr: '' });
    expect(report.stdout).toContain('A GPU, driver 580.1');
    expect(report.stdout).toMatch(/passed +addon/);
    expect(report.stdout).toMatch(/skipped +compute-sanitizer .*there is no compute-sanitizer/);
    expect(report.stdout).toMatch(
      /base +16 x 512 uniform0.6 +2.00 ms +1.50x the best of PyTorch, 3.00 ms \(packed_graph\)/,
    );
    expect(report.stdout).toContain('1.00x cuBLASLt (geometric mean)');
    const data = JSON.parse(readFileSync(join(results, 'gpu-abc.json'), 'utf8')) as Record<string, unknown[]>;
    expect(data).toMatchObject({ kind: 'gpu', gpu: { name: 'A GPU', power: '700.00 W' } });
    expect(
      [data['kernels'], data['endToEnd'], data['rivals'], data['steps']].map((part) => part!.length),
    ).toEqual([8, 3, 4, 2]);
    expect(report.stdout).toContain('2 measurements failed, the first: {"experiment":"texts"');
  });

  test('the CUDA section of docs/performance.md', () => {
    const output = join(folder, 'page.md');
    expect(node('scripts/performance-doc.mjs', '--results', results, '--output', output).status).toBe(0);
    const page = readFileSync(output, 'utf8').split('## CUDA')[1]!;
    expect(page).toContain('Steps that did not pass: compute-sanitizer (skipped).');
    expect(page).toContain('Measurements that failed: 2.');
    expect(page).toContain(
      '| base | 16 x 512, uniform0.6 | 4,915 | 2.00 | 1.75 | 400 | packed_graph | 3.00 | 1.50x |',
    );
    expect(page).toContain('| base | 16 x 512, full | 8,192 | 4.00 | none | 410 | none | none | none |');
    expect(page).toContain(
      '| 56 x 512, wiki, seed 2 | 16 x 64 | persistent, as given | 20.0 | 100 | single, as given 25.0 | varlen 30.0 us | 1.50x |',
    );
    expect(page).toContain('| base | qkv [64, 2304, 768] | 10.0 | 100 | 50% | 0.10x |');
    expect(page).toContain('Geometric mean from 4,096 tokens on: 1.00x.');
    expect(page).toContain('| 128 | + unpadded | 80 | 100 |');
    expect(page).toContain('| rope | q and k | 40.0 | 1,000 | 50% |');
    expect(page).toMatch(/### Attention alone\n\nNot measured\./);
  });
});

test('the loads are those of the experiments, and the same each time', () => {
  const first = node('bench/gpu/plan.mjs');
  expect(first.status).toBe(0);
  expect(node('bench/gpu/plan.mjs').stdout).toBe(first.stdout);
  interface Load {
    experiment: string;
    batch: number;
    cap: number;
    heads: number;
    kind: string;
    lengths: number[];
  }
  const plan = JSON.parse(first.stdout) as {
    endToEnd: Load[];
    attention: Load[];
    products: { tokens: number[] };
  };
  for (const { batch, cap, kind, lengths } of [...plan.endToEnd, ...plan.attention]) {
    expect(lengths).toHaveLength(batch);
    expect(Math.min(...lengths)).toBeGreaterThanOrEqual(1);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(cap);
    if (kind === 'full') expect(new Set(lengths)).toEqual(new Set([cap]));
  }
  const grid = plan.endToEnd.filter(({ experiment, kind }) => experiment === 'e1' && kind === 'uniform0.6');
  expect(new Set(grid.map(({ batch }) => batch))).toEqual(new Set([1, 2, 4, 8, 16, 32, 64, 128]));
  const strategies = plan.attention.filter(({ experiment }) => experiment === 'e4');
  expect(new Set(strategies.map(({ batch, cap, heads }) => `${batch} ${cap} ${heads}`))).toEqual(
    new Set(['56 512 16']),
  );
  expect(plan.products.tokens).toEqual([64, 512, 4096, 16_384, 65_536]);
});
