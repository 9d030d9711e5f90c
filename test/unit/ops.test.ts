// What the ops refuse before anything is queued. Their results are checked in test/device.
import { device } from '../../ts/device';
import { addon } from '../../ts/native';
import { attention, l2Normalize, layerNorm, linear, pack, pool, rmsNorm, unpack } from '../../ts/ops';
import { PackedBatch } from '../../ts/packed';
import { Tensor } from '../../ts/tensor';
import { LinearWeight } from '../../ts/weight';
import { expectError } from '../support/errors';

const zeros = (...shape: number[]) => Tensor.zeros(shape);
const x = zeros(3, 4);
const batch = PackedBatch.fromSequences([[1, 2], [3]]);
const one = device({ threads: 1 });
const weight = LinearWeight.pack(zeros(5, 4));
const integers = Tensor.zeros([3, 4], { dtype: 'i32' }) as never;
const disposed = zeros(3, 4);
disposed.dispose();

test.each<[string, () => unknown, string]>([
  ['linear of an array', () => linear([1] as never, zeros(2, 4)), 'x'],
  ['linear of integers', () => linear(integers, zeros(2, 4)), 'x'],
  ['linear with a weight of other columns', () => linear(x, zeros(5, 3)), 'x'],
  ['linear with a weight of one dimension', () => linear(x, zeros(4)), 'weight'],
  ['linear with a number for a weight', () => linear(x, 3 as never), 'weight'],
  ['linear with a bias of another length', () => linear(x, zeros(5, 4), { bias: zeros(4) }), 'bias'],
  ['linear with a packed weight and a bias', () => linear(x, weight, { bias: zeros(5) }), 'bias'],
  ['linear with a residual of another shape', () => linear(x, weight, { residual: zeros(3, 4) }), 'residual'],
  [
    'linear with an unknown activation',
    () => linear(x, weight, { activation: 'swish' as never }),
    'activation',
  ],
  ['linear with a misspelled option', () => linear(x, weight, { activaton: 'gelu' } as never), 'activaton'],
  ['linear across devices', () => linear(Tensor.zeros([3, 4], { device: one }), weight), 'weight'],
  ['linear on a stream of another device', () => linear(x, weight, { stream: one.defaultStream }), 'x'],
  ['layerNorm without gamma', () => layerNorm(x, {} as never), 'gamma'],
  ['layerNorm with gamma of another length', () => layerNorm(x, { gamma: zeros(3) }), 'gamma'],
  [
    'layerNorm with gamma of another dtype',
    () => layerNorm(x, { gamma: Tensor.zeros([4], { dtype: 'f16' }) }),
    'gamma',
  ],
  ['layerNorm with a negative eps', () => layerNorm(x, { gamma: zeros(4), eps: -1 }), 'eps'],
  ['rmsNorm with beta', () => rmsNorm(x, { gamma: zeros(4), beta: zeros(4) } as never), 'beta'],
  ['l2Normalize of a scalar', () => l2Normalize(Tensor.from([1], [])), 'x'],
  ['attention without heads', () => attention(x, x, x, batch), 'heads'],
  ['attention with heads that do not divide', () => attention(x, x, x, batch, { heads: 3 }), 'heads'],
  [
    'attention with kvHeads that do not divide',
    () => attention(zeros(3, 3, 2), zeros(3, 2, 2), zeros(3, 2, 2), batch),
    'kvHeads',
  ],
  [
    'attention with other tokens',
    () => attention(zeros(4, 4), zeros(4, 4), zeros(4, 4), batch, { heads: 2 }),
    'q',
  ],
  ['attention with v of another shape', () => attention(x, x, zeros(3, 8), batch, { heads: 2 }), 'v'],
  ['attention with an array for a batch', () => attention(x, x, x, [0, 3] as never, { heads: 2 }), 'batch'],
  [
    'attention with an unknown span',
    () => attention(x, x, x, batch, { heads: 2, span: 'casual' as never }),
    'span',
  ],
  [
    'attention with a negative window',
    () => attention(x, x, x, batch, { heads: 2, span: { left: -1 } }),
    'left',
  ],
  [
    'attention with an infinite scale',
    () => attention(x, x, x, batch, { heads: 2, scale: Infinity }),
    'scale',
  ],
  ['pool with an unknown mode', () => pool(x, batch, { mode: 'avg' as never }), 'mode'],
  ['pool with other tokens', () => pool(zeros(2, 4), batch), 'x'],
  ['pool with skip of another length', () => pool(x, batch, { skip: [1] }), 'skip'],
  ['pack with another mask', () => pack(zeros(2, 3, 4), [1, 1]), 'ids'],
  ['pack of a matrix', () => pack(x, batch), 'padded'],
  ['unpack into too few columns', () => unpack(x, batch, 1), 'batch'],
  ['unpack to more rows than 32 bits count', () => unpack(x, batch, 2 ** 45), 'paddedLength'],
  ['unpack with a fraction', () => unpack(x, batch, 1.5), 'paddedLength'],
  [
    'unpack of two tokens at one place',
    () => unpack(x, PackedBatch.fromIds({ ids: [1, 2, 3], cuSeqlens: [0, 3], positions: [0, 1, 1] }), 4),
    'batch',
  ],
])('refuses %s', (_, call, field) => expectError(call, { code: 'E_INVALID_ARGUMENT', field }));

test('refuses disposed operands', async () => {
  const gone = LinearWeight.pack(zeros(5, 4));
  gone.dispose();
  await expectError(() => linear(disposed, weight), { code: 'E_DISPOSED' });
  await expectError(() => linear(x, gone), { code: 'E_DISPOSED', field: 'weight' });
  await expectError(() => pool(disposed, batch), { code: 'E_DISPOSED' });
});

test('calls after refused ones work', async () => {
  expect(await linear(x, weight).read()).toEqual(new Float32Array(15));
});

describe('the addon, called without its facade', () => {
  const names = (Object.keys(addon) as (keyof typeof addon)[]).filter(
    (name) => typeof addon[name] === 'function',
  );
  test.each(names)('%s answers any argument with an error, not a crash', async (name) => {
    const call = addon[name] as (...values: unknown[]) => unknown;
    for (const value of [undefined, null, 0, -1, 'x', {}, [], new Int32Array(3), x.native]) {
      try {
        await call(value, value, value, value, value, value, value, value, value);
      } catch (error) {
        expect((error as { code?: string }).code).toMatch(/^E_/);
      }
    }
  });

  test('refuses matrices larger than their memory', async () => {
    const { native } = x;
    const stream = x.device.defaultStream.native;
    expect(() => addon.l2Normalize(stream, native, 1000, 1000)).toThrow('smaller');
    expect(() => addon.gatherRows(stream, native, 3, 4, Int32Array.of(3))).toThrow('no row');
  });
});
