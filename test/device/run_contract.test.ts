// `padless run` of every kind of head on every device: the contract's tensors, their shapes and numbers.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeSafetensors } from '../../ts/io/safetensors';
import { testDevices } from '../support/devices';
import { pickRows, readGolden, relativeError } from '../support/goldens';
import { root } from '../support/child';
import { scratchDirectory } from '../support/scratch';

const scratch = scratchDirectory();

/** Columns of the logits; whether they have a row a token or a row a sequence. */
const heads: [fixture: string, columns: number, per: 'token' | 'sequence'][] = [
  ['bert-sequence', 3, 'sequence'],
  ['roberta-sequence-one-label', 1, 'sequence'],
  ['modernbert-sequence-mean', 3, 'sequence'],
  ['qwen3-sequence', 3, 'sequence'],
  ['bert-token', 5, 'token'],
  ['deberta-v2-question', 2, 'token'],
  ['bert-masked-lm', 50, 'token'],
  ['qwen3-causal-lm', 50, 'token'],
];

/** One request for each device: the first, which for the CPU is its best instruction set. */
const requests = [...new Map(testDevices().map(({ request }) => [request.name, request])).keys()];

describe.each(requests)('on %s', (device) => {
  test.each(heads)('%s', (name, columns, per) => {
    const golden = readGolden(name);
    const { sequences } = golden;
    const [input, output] = [join(scratch, `${name}.json`), join(scratch, `${name}.safetensors`)];
    const types = sequences[0]!.tokenTypes && { tokenTypes: sequences.map(({ tokenTypes }) => tokenTypes) };
    writeFileSync(input, JSON.stringify({ sequences: sequences.map(({ ids }) => ids), ...types }));
    const args = ['run', '-m', golden.checkpoint, '-i', input, '-o', output, '--device', device];
    const main = join(root, 'dist/cli/main.js');
    const { status, stderr } = spawnSync(process.execPath, [main, ...args, '--batch-tokens', '20'], {
      encoding: 'utf8',
      timeout: 60_000,
      env: { ...process.env },
    });
    expect([status, stderr]).toEqual([0, '']);

    const { tensors } = decodeSafetensors(readFileSync(output));
    expect(Object.keys(tensors).sort()).toEqual(['cu_seqlens', ...golden.outputs].sort());
    const cuSeqlens = tensors['cu_seqlens']!.data as Int32Array;
    const tokens = sequences.reduce((sum, { ids }) => sum + ids.length, 0);
    expect([cuSeqlens.length, cuSeqlens.at(-1)]).toEqual([sequences.length + 1, tokens]);
    const { dtype, shape, data } = tensors['logits']!;
    expect([dtype, shape]).toEqual(['F32', [per === 'token' ? tokens : sequences.length, columns]]);
    sequences.forEach(({ rows }, i) => {
      const [begin, end] = per === 'token' ? [cuSeqlens[i]!, cuSeqlens[i + 1]!] : [i, i + 1];
      const logits = (data as Float32Array).subarray(begin * columns, end * columns);
      const picked = per === 'token' ? pickRows(logits, columns, rows) : logits;
      expect(relativeError(picked, golden.expected.get(`${i}.logits`)!.data)).toBeLessThan(1e-5);
    });
  });
});
