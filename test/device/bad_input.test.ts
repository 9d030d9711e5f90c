// What breaks servers: nothing to do, NaN, operands that do not fit, and handles dropped in mid-work; on every
// device. Each case ends with an op that works.
import { device } from '../../ts/device';
import { attention, l2Normalize, layerNorm, linear, pool, rmsNorm, unpack } from '../../ts/ops';
import { PackedBatch } from '../../ts/packed';
import { Tensor, type DType } from '../../ts/tensor';
import { testDevices } from '../support/devices';
import { expectError } from '../support/errors';
import { normals } from '../support/seeded';

const batchOf = (lengths: readonly number[]) =>
  PackedBatch.fromSequences(lengths.map((length) => Array.from({ length }, (_, i) => i)));

describe.each(testDevices())('on $label', ({ request }) => {
  const target = device(request);
  const other = device(target.info.kind === 'cpu' ? { name: 'cpu', threads: 3 } : 'cpu');
  const ones = (cols: number) => Tensor.from(new Float32Array(cols).fill(1), [cols], { device: target });
  const isGpu = target.info.kind !== 'cpu';
  const tensor = (data: Float32Array, shape: number[]) => Tensor.from(data, shape, { device: target });
  /** The numbers, cut off to bf16 where asked. */
  const stored = (data: Float32Array, shape: number[], dtype: 'f32' | 'bf16'): Tensor =>
    dtype === 'f32'
      ? tensor(data, shape)
      : Tensor.from(
          Uint16Array.from(new Uint32Array(data.buffer), (bits) => bits >>> 16),
          shape,
          { device: target, dtype },
        );
  const zeros = (shape: number[], dtype: DType = 'f32') =>
    Tensor.zeros(shape, { device: target, dtype }) as Tensor;

  afterEach(async () => {
    expect(await l2Normalize(tensor(Float32Array.of(3, 4), [1, 2])).read()).toEqual(
      Float32Array.of(0.6, 0.8),
    );
  });

  test.each([[[]], [[0]], [[0, 0, 0]]])('lengths %j', async (lengths) => {
    const batch = batchOf(lengths);
    const x = zeros([0, 8]);
    expect((await linear(x, zeros([5, 8])).read()).length).toBe(0);
    expect((await layerNorm(x, { gamma: ones(8) }).read()).length).toBe(0);
    expect((await rmsNorm(x, { gamma: ones(8) }).read()).length).toBe(0);
    const { out, lse } = attention(x, x, x, batch, { heads: 2, lse: true });
    expect([out.shape, lse.shape]).toEqual([
      [0, 8],
      [2, 0],
    ]);
    expect([(await out.read()).length, (await lse.read()).length]).toEqual([0, 0]);
    for (const mode of ['cls', 'mean', 'max', 'lasttoken'] as const)
      expect([...(await pool(x, batch, { mode }).read())]).toEqual(Array(lengths.length * 8).fill(0));
    expect([...(await unpack(x, batch, 2).read())]).toEqual(Array(lengths.length * 16).fill(0));
  });

  // Head dims with and without a tensor core kernel; lengths whose tiles end in the neighbour's rows.
  test.each(
    (isGpu ? (['f32', 'bf16'] as const) : (['f32'] as const)).flatMap((dtype) =>
      [32, 24].map((headDim) => ({ dtype, headDim })),
    ),
  )('NaN in one sequence reaches no other: $dtype, head dim $headDim', async ({ dtype, headDim }) => {
    const lengths = [37, 20, 70];
    const batch = batchOf(lengths);
    const width = 2 * headDim;
    const clean = normals(batch.tokens * width);
    const poisoned = clean.slice();
    poisoned.fill(NaN, batch.cuSeqlens[1]! * width, batch.cuSeqlens[2]! * width);
    const run = async (data: Float32Array) => {
      const x = stored(data, [batch.tokens, width], dtype);
      const y = attention(x, x, x, batch, { heads: 2 });
      const pooled = pool(layerNorm(y, { gamma: ones(width) }), batch, { mode: 'mean' });
      return [(await y.read()) as Float32Array, (await pooled.read()) as Float32Array] as const;
    };
    const [expected, actual] = [await run(clean), await run(poisoned)];
    const rows = (data: Float32Array, begin: number, end: number) =>
      Array.from(data.slice(begin * width, end * width));
    for (const b of [0, 2]) {
      const [begin, end] = [batch.cuSeqlens[b]!, batch.cuSeqlens[b + 1]!];
      expect(rows(actual[0], begin, end)).toEqual(rows(expected[0], begin, end));
      expect(rows(actual[1], b, b + 1)).toEqual(rows(expected[1], b, b + 1));
    }
    expect(rows(actual[1], 1, 2)).not.toEqual(rows(expected[1], 1, 2));
  });

  test('a head dim that no kernel has', async () => {
    const x = tensor(normals(3 * 300), [3, 300]);
    const y = attention(x, x, x, batchOf([3]), { heads: 1 });
    if (isGpu) await expectError(() => y.read(), { code: 'E_UNSUPPORTED', words: '300' });
    else expect((await y.read()).every(Number.isFinite)).toBe(true);
  });

  test('operands of two dtypes', async () => {
    const [x, half] = [zeros([3, 64]), zeros([3, 64], 'f16')];
    const batch = batchOf([3]);
    const refused = { code: 'E_INVALID_ARGUMENT' } as const;
    await expectError(() => attention(x, half, half, batch, { heads: 1 }), { ...refused, field: 'k' });
    await expectError(() => attention(x, x, half, batch, { heads: 1 }), { ...refused, field: 'v' });
    await expectError(() => layerNorm(x, { gamma: zeros([64], 'f16') as never }), {
      ...refused,
      field: 'gamma',
    });
  });

  test('operands, streams and events of another device', async () => {
    const refused = { code: 'E_INVALID_ARGUMENT' } as const;
    const x = zeros([3, 64]);
    const far = Tensor.zeros([3, 64], { device: other });
    const batch = batchOf([3]);
    await expectError(() => linear(x, Tensor.zeros([5, 64], { device: other })), refused);
    await expectError(() => attention(x, far, far, batch, { heads: 1 }), refused);
    await expectError(() => l2Normalize(x, { stream: other.defaultStream }), refused);
    if (!isGpu) return; // the others here are configurations of one device
    using theirs = other.createEvent();
    using ours = target.createEvent();
    await expectError(() => target.defaultStream.record(theirs), refused);
    await expectError(() => target.defaultStream.wait(other.defaultStream.record()), refused);
    await expectError(() => ours.millisecondsSince(theirs), refused);
  });

  test('operands, results and streams dropped while work is queued', async () => {
    const data = normals(64 * 64);
    const expected = await l2Normalize(tensor(data, [64, 64])).read();
    const stream = target.createStream();
    let x: Tensor = Tensor.from(data, [64, 64], { stream });
    for (let i = 0; i < 20; i++) {
      const next = l2Normalize(x, { stream });
      l2Normalize(x, { stream }).dispose();
      x.dispose();
      x = next;
    }
    const [read, event] = [x.read(), stream.record()];
    x.dispose();
    event.dispose();
    stream.dispose();
    (await read).forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5));
  });
});
