// The table of docs/kernels.md is what scripts/kernels-doc.mjs writes, with or without results of a GPU.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../support/child';
import { scratchDirectory, writeTree } from '../support/scratch';

const run = (...args: string[]) =>
  spawnSync(process.execPath, [join(root, 'scripts/kernels-doc.mjs'), ...args], { encoding: 'utf8' });

const line = (experiment: string, op: string, name: string, us: number, more: object = {}) => ({
  ...{ experiment, op, name, us, shape: 'base', tokens: 16_384 },
  ...more,
});
const load = { experiment: 'e3', batch: 64, cap: 256, heads: 12, headDim: 64, kind: 'full', seed: 1 };
const measured = {
  started: '2026-01-01',
  gpu: { name: 'A GPU' },
  rivals: [],
  kernels: [
    line('gemm', 'linear', 'qkv [16384, 2304, 768] t0 s1', 70),
    line('gemm', 'linear', 'qkv [4096, 2304, 768] t0 s1', 1, { tokens: 4096 }),
    line('gemm', 'linear_fp8', 'qkv [16384, 2304, 768] t0 s1', 2),
    line('gemm', 'linear', 'out + residual [16384, 768, 768] t0 s1', 30),
    line('gemm', 'linear', 'ffn1 + gelu [16384, 3072, 768] t0 s1', 100),
    line('gemm', 'linear', 'ffn2 + residual [16384, 768, 3072] t0 s1', 110),
    line('norm', 'linear_norm', 'out [16384, 768, 768] two kernels', 50),
    line('norm', 'linear_norm', 'out [16384, 768, 768] one, t4, planned', 34),
    line('norm', 'linear_norm', 'out [16384, 768, 768] one, t5', 33),
    line('rows', 'residual_norm', 'layer', 20),
    line('rows', 'residual_norm', 'bias + residual + layer', 25),
    { ...load, op: 'attention', name: 'single', us: 42 },
    { ...load, op: 'attention', name: 'grouped', us: 40 },
  ],
};

describe('the layer in docs/kernels.md', () => {
  test('is up to date', () => expect(run('--check')).toMatchObject({ status: 0, stderr: '' }));

  const folder = scratchDirectory();

  test('takes its times from results', () => {
    const results = writeTree(join(folder, 'results'), { 'gpu-abc.json': JSON.stringify(measured) });
    const output = join(folder, 'kernels.md');
    expect(run('--results', results, '--output', output)).toMatchObject({ status: 0, stderr: '' });
    const page = readFileSync(output, 'utf8');
    expect(page).toMatch(/\| `linear` QKV \+ bias \|.*\| 58.6 \| 70.0 \|/);
    expect(page).toMatch(/\| `varlen_attention` \|.*\| 40.0 \|/);
    expect(page).toMatch(/output \+ bias \+ residual \+ norm \|.*\| 33.0 \|/);
    // 70 + 40 + 30 + 100 + 110 + 2 * 20
    expect(page).toMatch(/a layer, two norms apart \|.*\| 390.0 \|/);
    expect(page).toMatch(/a layer, norms in the products \|.*\| not measured \|/);
    expect(page).toContain('gpu-abc.json');
  });
});
