// The benchmark's arithmetic and the page that is written from its results.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../support/child';
import { scratchDirectory, writeTree } from '../support/scratch';

const generator = join(root, 'scripts/performance-doc.mjs');
const run = (...args: string[]) =>
  spawnSync(process.execPath, [generator, ...args], { cwd: root, encoding: 'utf8' });

/** What an ES module of bench/cpu answers, evaluated in a process of its own. */
function evaluate(file: string, expression: string): unknown {
  const source = `import * as module from ${JSON.stringify(join(root, 'bench/cpu', file))};
    process.stdout.write(JSON.stringify(${expression}));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', source], {
    encoding: 'utf8',
  });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout);
}

function results(more: object = {}) {
  const entry = (name: string, mode: string, ms: number, keptSamples: number) => ({
    name,
    mode,
    ms,
    keptSamples,
    tokensPerSecond: 1e6 / ms,
    fractionOfRoof: 0.5,
    // The third was taken beside a neighbour.
    samples: [
      { roof: 1e11, roofAtWork: 1e11 / 1.2 },
      { roof: 1e11, roofAtWork: 1e11 / 1.2 },
      { roof: 1e11, roofAtWork: 4e10 },
    ],
  });
  const group = (workload: string, keptSamples: number) => ({
    part: 'workloads',
    model: 'minilm',
    dtype: 'f32',
    workload,
    title: `title of ${workload}`,
    contestants: [
      entry('padless', 'packed', 40, keptSamples),
      entry('onnxruntime', 'each', 100, 5),
      entry('torch-packed', 'packed', 60, 5),
    ],
  });
  return {
    kind: 'cpu',
    commit: 'abcdef0123',
    dirty: false,
    started: '2026-01-02T00:00:00Z',
    machine: { cpu: 'A chip', cpus: 2 },
    options: { threads: 2, seed: 1 },
    roof: { f32: 1e11, bf16: 2e11, int8: 4e11, read: 2e10 },
    versions: {},
    absent: { 'transformers.js': 'not there' },
    groups: [group('W1', 5), group('W2', 0)],
    memory: [],
    ...more,
  };
}

describe('docs/performance.md', () => {
  const folder = scratchDirectory();

  test('is what bench/results say', () => {
    expect(run('--check')).toMatchObject({ status: 0, stderr: '' });
  });

  test('shows a chip that was held to some of its instructions last, and padless alone', () => {
    const { options, groups } = results();
    const alone = groups.map((group) => ({ ...group, contestants: group.contestants.slice(0, 1) }));
    const held = { started: '2026-02-02T00:00:00Z', options: { ...options, isa: 'avx2' }, groups: alone };
    const output = join(folder, 'held.md');
    const measured = writeTree(join(folder, 'held'), {
      'cpu-a.json': results(),
      'cpu-b.json': results(held),
    });
    expect(run('--results', measured, '--output', output).status).toBe(0);
    const [first, second] = readFileSync(output, 'utf8').split('### A chip, held to avx2');
    expect(first).toContain('### A chip\n');
    expect(first).toContain('#### Against a padded batch\n\nNot measured.');
    expect(second).toContain('| W1: title of W1 | f32 | 25,000 | 40.0 | 50% | 60% |\n');
    expect(second).not.toContain('#### Against a padded batch');
  });

  test('quotes the ratio to the fastest rival of each chip’s newest file and marks noisy groups', () => {
    const output = join(folder, 'page.md');
    const before = { started: '2025-01-02T00:00:00Z' };
    const measured = writeTree(join(folder, 'measured'), {
      'cpu-new.json': results(),
      'cpu-old.json': results(before),
      'cpu-other.json': results({ ...before, machine: { cpu: 'Another chip', cpus: 1 } }),
    });
    expect(run('--results', measured, '--output', output).status).toBe(0);
    const page = readFileSync(output, 'utf8');
    expect(page).toContain('A chip, 2 threads of 2 CPUs; roof 100 GFLOP/s f32');
    expect(page).toContain(
      '| W1: title of W1 | f32 | 25,000 | 40.0 | 50% | 60% | torch-packed, packed | 16,667 | 1.50x |',
    );
    expect(page).toContain('| W2: title of W2 (machine not at full speed) | f32');
    expect(page).toContain('Rivals that were missing: transformers.js.');
    expect(page).toContain('Another chip, 2 threads of 1 CPUs');
    expect(page).not.toContain('cpu-old.json');
    expect(run('--results', measured, '--output', output, '--check').status).toBe(0);
    writeFileSync(output, page.replace('1.50x', '2.50x'));
    expect(run('--results', measured, '--output', output, '--check').status).toBe(1);
  });

  test('lists what loops of tile products reach, from the newest file', () => {
    const output = join(folder, 'tiles.md');
    const loops = (share: number) => ({
      instruction: 'TDP',
      loops: [{ name: 'rows in L2', fractionOfRoof: share }],
    });
    const tiles = {
      started: '2026-01-02T00:00:00Z',
      commit: 'fedcba9876',
      machine: { cpu: 'A chip' },
      threads: 2,
      bf16: loops(0.756),
      int8: loops(0.5),
    };
    const measured = writeTree(join(folder, 'tiles'), {
      'tiles-a.json': tiles,
      'tiles-b.json': { ...tiles, started: '2025-01-02T00:00:00Z', bf16: loops(0.1) },
    });
    expect(run('--results', measured, '--output', output).status).toBe(0);
    const page = readFileSync(output, 'utf8');
    expect(page).toContain('A chip, 2 threads, commit fedcba9.');
    expect(page).toContain('| rows in L2 | 76% | 50% |');
  });

  test('says what is not measured', () => {
    const output = join(folder, 'empty.md');
    expect(run('--results', writeTree(join(folder, 'nothing'), {}), '--output', output).status).toBe(0);
    expect(readFileSync(output, 'utf8').match(/Not measured\./g)).toHaveLength(2);
  });
});

describe('bench/cpu', () => {
  test('counts the useful operations of real tokens', () => {
    // MiniLM: 21.2 MFLOP a token in products; attention adds 4 length^2 hidden a layer.
    const products = 6 * 2 * (4 * 384 * 384 + 2 * 384 * 1536);
    expect(products).toBeCloseTo(21.2e6, -5);
    expect(evaluate('models.mjs', 'module.usefulOperations(module.SHAPES.minilm, [3, 5])')).toBe(
      8 * products + 6 * 4 * (9 + 25) * 384,
    );
  });

  test('draws the same lengths from the same seed', () => {
    const lengths = (seed: number) =>
      evaluate(
        'workloads.mjs',
        `['W1', 'W2', 'W3', 'W4'].map((name) => module.lengthsOf(name, ${seed}))`,
      ) as number[][];
    const [queries, passages, documents, query] = lengths(1);
    const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
    expect([queries!.length, passages!.length, documents!.length]).toEqual([64, 32, 16]);
    expect([Math.max(...documents!), sum(documents!)]).toEqual([512, Math.round(0.6 * 512 * 16)]);
    expect(query).toEqual([16]);
    expect(lengths(1)).toEqual([queries, passages, documents, query]);
    expect(lengths(2)[0]).not.toEqual(queries);
    const named = `['3x7', '5+512+33', '5', '2x600', 'W9'].map((name) => module.lengthsOf(name, 1) ?? null)`;
    expect(evaluate('workloads.mjs', named)).toEqual([[7, 7, 7], [5, 512, 33], [5], null, null]);
  });

  test('plans what needs rivals first, and what padless does alone last', () => {
    const options = {
      models: ['minilm', 'deberta'],
      dtypes: ['f32', 'int8'],
      workloads: ['W1', 'W2'],
      parts: ['workloads', 'padded', 'batch', 'memory'],
      rivals: ['torch-auto', 'onnxruntime-node'],
    };
    const stages = evaluate('plan.mjs', `module.stages(${JSON.stringify(options)})`) as {
      model: string;
      dtype: string;
      memory?: boolean;
      groups: { key: string }[];
    }[];
    expect(
      stages.map(({ groups, memory, model, dtype }) => (memory ? `${model}/${dtype}` : groups[0]!.key)),
    ).toEqual([
      'minilm/f32/workloads/W1',
      'minilm/int8/workloads/W1',
      'deberta/f32/workloads/W2',
      'minilm/f32',
      'minilm/int8',
      'minilm/f32/batch/1x64',
      'minilm/int8/batch/1x64',
    ]);
    expect(stages[0]!.groups.map(({ key }) => key)).toEqual([
      'minilm/f32/workloads/W1',
      'minilm/f32/workloads/W2',
      'minilm/f32/padded/W2',
    ]);
  });

  test('measures how far vectors are apart', () => {
    const answer = evaluate('statistics.mjs', 'module.agreement([[1, 0], [3, 4]], [[1, 0], [3, 3]])') as {
      cosine: number;
      relativeError: number;
    };
    expect(answer.cosine).toBeCloseTo(21 / (5 * Math.sqrt(18)), 12);
    expect(answer.relativeError).toBeCloseTo(1 / Math.sqrt(18), 12);
  });
});
