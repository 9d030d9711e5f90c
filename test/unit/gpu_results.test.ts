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
const load = {
  ...{ experiment: 'e4', batch: 56, cap: 512, heads: 16, headDim: 64, kind: 'wiki', seed: 2, tokens: 8400 },
  ...{ device: 'A GPU', compute_capability: 90, sms: 132 },
};
const plan = (name: string, us: number, strategy: string, edges: number[], streams: number, sorted = false) =>
  kernel('e4', 'attention', `${name}, ${sorted ? 'sorted' : 'as given'}`, us, {
    ...{ ...load, strategy, edges, streams, sorted },
  });
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
    {
      ...{ ...text, peer: 'padless', tokens: 4915, ms: 2, overlap_ms: 1.75, batch_ms: 2.5, tflops: 400 },
      ...{ fp8_ms: 1.25, queued_ms: 1.9 },
    },
    { ...text, batch: 1, cap: 32, kind: 'full', tokens: 32, ms: 0.3, queued_ms: 0.25, tflops: 1 },
    { ...text, experiment: 'e1', kind: 'full', tokens: 8192, ms: 4, tflops: 410 },
    { ...text, batch: 64, error: 'the device is lost' },
  ]),
  'rivals.jsonl': lines([
    { section: 'bert', ...text, padded_sdpa_ms: 8, packed_ms: 4 },
    { section: 'bert', ...text, packed_graph_ms: 3, packed_graph_tflops: 1 },
    { section: 'bert', ...text, seed: 2, packed_graph_ms: 0.5 },
    { section: 'bert', ...text, batch: 1, cap: 32, kind: 'full', padded_compiled_ms: 0.6 },
    { section: 'attention', ...load, device: 'torch', varlen_us: 30, sdpa_us: 90, sdpa_unmasked_us: 10 },
  ]),
  'kernels.jsonl':
    lines([
      product(64, 10, 1),
      product(4096, 20, 10),
      product(65_536, 10, 20),
      kernel('gemm', 'linear_plan', 'qkv [4096, 2304, 768] persistent t1 s1', 10, { tokens: 4096 }),
      kernel('gemm', 'linear_plan', 'qkv [65536, 2304, 768] persistent t1 s1', 11, { tokens: 65_536 }),
      plan('auto', 25, 'auto', [], 4),
      plan('persistent', 20, 'persistent', [], 1),
      plan('grouped 64/256 on 2', 22, 'grouped', [64, 256], 2),
      plan('grouped 64 on 2', 10, 'grouped', [64], 2, true),
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
      /base +16 x 512, uniform0.6 +2.00 ms +1.50x the best of PyTorch, 3.00 ms \(packed_graph\)/,
    );
    for (const bar of [
      /met +Hopper: products, of cuBLASLt +>= 0.95x +1.00x \(geometric mean of 2; the least 0.50x, base qkv \[4096/,
      /not measured +Hopper: products with bias and GELU/,
      /MISSED +Hopper: attention, mean length to 256, of varlen_attn +>= 1.30x +1.20x/,
      /met +Hopper: BERT-base, 16 x 512 at 0.6 +<= 2.00 ms +1.75 ms \(with overlap\)/,
      /MISSED +Hopper: BERT-base, 1 x 32, on the device +<= 0.20 ms +0.25 ms/,
      /met +Hopper: nothing to unpad, of compiled PyTorch +>= 1.00x +2.00x/,
      /not measured +Hopper: the same bits again/,
      /met +Hopper: determinism: 'batch' +measured +1.25x the time/,
      /MISSED +portable: rows and norms, of a copy +>= 85% +50% \(the least of 1: rope q and k\)/,
    ])
      expect(report.stdout).toMatch(bar);
    expect(report.stdout).toContain('attention: persistent is the fastest, 1.25x the plan of today');
    expect(report.stdout).toMatch(/planner: base qkv \[4096, 2304, 768\] takes 2.00x the time of qkv \[4096/);
    expect(report.stdout).not.toContain('planner: base qkv [65536');
    const data = JSON.parse(readFileSync(join(results, 'gpu-abc.json'), 'utf8')) as Record<string, unknown[]>;
    expect(data).toMatchObject({ kind: 'gpu', gpu: { name: 'A GPU', power: '700.00 W' } });
    expect(
      [data['kernels'], data['endToEnd'], data['rivals'], data['steps']].map((part) => part!.length),
    ).toEqual([12, 4, 5, 2]);
    expect(report.stdout).toContain('2 measurements failed, the first: {"experiment":"texts"');
  });

  test('the CUDA section of docs/performance.md', () => {
    const output = join(folder, 'page.md');
    expect(node('scripts/performance-doc.mjs', '--results', results, '--output', output).status).toBe(0);
    const page = readFileSync(output, 'utf8').split('## CUDA')[1]!;
    expect(page).toContain('Steps that did not pass: compute-sanitizer (skipped).');
    expect(page).toContain('Measurements that failed: 2.');
    expect(page).toContain(
      '| base | 16 x 512, uniform0.6 | 4,915 | 2.00 | 1.75 | 2.50 | 1.25 | 400 | packed_graph | 3.00 | 1.50x |',
    );
    expect(page).toContain(
      '| base | 16 x 512, full | 8,192 | 4.00 | none | none | none | 410 | none | none | none |',
    );
    expect(page).toContain(
      '| 56 x 512, wiki, seed 2 | 16 x 64 | grouped 64 on 2, sorted | 10.0 | 100 | persistent, as given 20.0; ' +
        'grouped 64/256 on 2, as given 22.0; auto, as given 25.0 | varlen 30.0 us | 3.00x |',
    );
    expect(page).toContain('| base | qkv [64, 2304, 768] | 10.0 | 100 | 50% | 0.10x |');
    expect(page).toContain('Geometric mean from 4,096 tokens on: 1.00x.');
    expect(page).toMatch(
      /\| Hopper \| products, of cuBLASLt \| >= 0.95x \| 1.00x, geometric mean .* \| met \|/,
    );
    expect(page).toContain('| 128 | + unpadded | 80 | 100 |');
    expect(page).toContain('| rope | q and k | 40.0 | 1,000 | 50% |');
    expect(page).toMatch(/### Attention alone\n\nNot measured\./);
  });
});

describe('the plan that auto attention takes', () => {
  const folder = scratchDirectory();
  const device = { compute_capability: 90, sms: 132, device: 'A GPU' };
  const batch = { ...load, ...device };
  /** A made-up run: microseconds of each plan over two loads. */
  const run = (started: string, times: Record<string, [number, number]>, of = device) => ({
    ...{ kind: 'gpu', started, rivals: [], endToEnd: [] },
    kernels: Object.entries(times).flatMap(([name, values]) =>
      values.map((us, seed) => {
        const [strategy, edges = '', streams = '1'] = name.split(' ');
        return kernel('e4', 'attention', name, us, {
          ...{ ...batch, ...of, seed, strategy, sorted: false, streams: Number(streams) },
          edges: edges.split('/').filter(Boolean).map(Number),
        });
      }),
    ),
  });
  function written(files: Record<string, object>): string {
    const results = writeTree(join(folder, `${Object.keys(files).length}`), files);
    const output = join(results, 'plans.h');
    const { status, stderr } = node('scripts/attention-plans.mjs', '--results', results, '--output', output);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const check = ['--results', results, '--output', output, '--check'];
    expect(node('scripts/attention-plans.mjs', ...check).status).toBe(0);
    return readFileSync(output, 'utf8');
  }

  test('in the repository is what was measured', () =>
    expect(node('scripts/attention-plans.mjs', '--check')).toMatchObject({ status: 0, stderr: '' }));

  test('none where nothing was measured', () => expect(written({})).toContain('kMeasuredPlans = {};'));

  test('is the fastest over all loads, by device, from its newest results', () => {
    const hopper: Record<string, [number, number]> = {
      auto: [50, 50],
      'grouped 64/256 4': [10, 40],
      single: [30, 30],
      persistent: [19, 20],
    };
    const plans = written({
      'gpu-old.json': run('2026-01-01', { auto: [9, 9], single: [1, 1] }),
      'gpu-new.json': run('2026-02-01', hopper),
      'gpu-other.json': run(
        '2026-01-01',
        { auto: [9, 9], single: [9, 9], 'grouped 64/128 2': [8, 9] },
        { ...device, compute_capability: 80, sms: 108 },
      ),
    });
    expect(plans).toContain('    {80, 108, {AttentionStrategy::kGrouped, {64, 128}, 2}},');
    expect(plans).toContain(
      '    // A GPU: gpu-new.json\n    {90, 132, {AttentionStrategy::kPersistent, {}, 1}},',
    );
    expect(plans.match(/AttentionStrategy::/g)).toHaveLength(2);
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
