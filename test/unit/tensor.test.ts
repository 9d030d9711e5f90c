import { device } from '../../ts/device';
import { PackedBatch } from '../../ts/packed';
import { attention, l2Normalize } from '../../ts/ops';
import { Tensor } from '../../ts/tensor';
import { expectError } from '../support/errors';
import { normals } from '../support/seeded';

const cpu = device('cpu');

describe('Tensor.from and read', () => {
  test.each([
    ['f32', Float32Array.of(1.5, -2, 0, NaN)],
    ['f16', Uint16Array.of(0, 0x3c00, 0x7c00, 0xffff)],
    ['bf16', Uint16Array.of(0, 0x3f80, 0x7f80, 0xffff)],
    ['i32', Int32Array.of(-(2 ** 31), 2 ** 31 - 1, 0, 7)],
    ['i64', BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n, 0n, 7n)],
    ['u8', Uint8Array.of(0, 255, 7, 1)],
  ] as const)('%s keeps its bits', async (dtype, data) => {
    using tensor = Tensor.from(data as Float32Array, [2, 2], { dtype: dtype as 'f32' });
    expect(tensor).toMatchObject({ dtype, shape: [2, 2], size: 4 });
    expect(tensor.device).toBe(cpu);
    const copy = await tensor.read();
    expect(copy).toEqual(data);
    expect(copy.constructor.name).toBe(data.constructor.name);
  });

  test('takes plain numbers, views, shared memory and a Buffer', async () => {
    expect(await Tensor.from([1, 2.5]).read()).toEqual(Float32Array.of(1, 2.5));
    expect(await Tensor.from([1n, -2n], [2], { dtype: 'i64' }).read()).toEqual(BigInt64Array.of(1n, -2n));
    expect(await Tensor.from(Float32Array.of(9, 1, 2, 9).subarray(1, 3)).read()).toEqual(
      Float32Array.of(1, 2),
    );
    const shared = new Float32Array(new SharedArrayBuffer(8));
    shared.set([3, 4]);
    expect(await Tensor.from(shared).read()).toEqual(Float32Array.of(3, 4));
    expect(await Tensor.from(Buffer.from('ab')).read()).toEqual(Uint8Array.of(97, 98));
  });

  test('copies before it returns', async () => {
    const data = Float32Array.of(1, 2, 3);
    using tensor = Tensor.from(data);
    data.fill(0);
    expect(await tensor.read()).toEqual(Float32Array.of(1, 2, 3));
  });

  test.each([[[0]], [[3, 0]], [[]]])('shape %j', async (shape) => {
    const length = shape.reduce((product, dim) => product * dim, 1);
    using tensor = Tensor.from(new Float32Array(length), shape);
    expect(await tensor.read()).toHaveLength(length);
  });

  test('zeros, larger than one block of them', async () => {
    using tensor = Tensor.zeros([70_001], { dtype: 'i32' });
    const values = await tensor.read();
    expect(values).toHaveLength(70_001);
    expect(values.every((value) => value === 0)).toBe(true);
  });

  test.each([
    ['another number of elements', () => Tensor.from([1, 2, 3], [2, 2]), 'shape'],
    ['a negative dimension', () => Tensor.from([1], [-1, -1]), 'shape'],
    ['a fractional dimension', () => Tensor.zeros([1.5]), 'shape'],
    ['a shape that overflows', () => Tensor.zeros([2 ** 40, 2 ** 40]), 'shape'],
    ['a Float64Array', () => Tensor.from(new Float64Array(2) as never), 'data'],
    ['a Uint16Array without dtype', () => Tensor.from(new Uint16Array(2) as never), 'dtype'],
    [
      'an array of another kind',
      () => Tensor.from(new Int32Array(2) as never, [2], { dtype: 'f32' }),
      'data',
    ],
    ['a string', () => Tensor.from('12' as never), 'data'],
    ['a string among numbers', () => Tensor.from([1, '2'] as never), 'data'],
    ['300 as u8', () => Tensor.from([300], [1], { dtype: 'u8' }), 'data'],
    ['numbers as f16', () => Tensor.from([1], [1], { dtype: 'f16' }), 'data'],
    ['a misspelled option', () => Tensor.from([1], [1], { dtyp: 'f32' } as never), 'dtyp'],
    ['an unknown dtype', () => Tensor.zeros([1], { dtype: 'f64' as never }), 'dtype'],
    [
      'a stream of another device',
      () => Tensor.zeros([1], { device: cpu, stream: device({ threads: 1 }).defaultStream }),
      'stream',
    ],
  ])('refuses %s', (_, make, field) => expectError(make, { code: 'E_INVALID_ARGUMENT', field }));

  test('refuses more memory than there is', () =>
    expectError(() => Tensor.zeros([2 ** 50], { dtype: 'u8' }), { code: 'E_OUT_OF_MEMORY' }));
});

describe('reshape and dispose', () => {
  test('a view outlives the tensor that it was made of', async () => {
    const tensor = Tensor.from([1, 2, 3, 4, 5, 6]);
    using view = tensor.reshape([2, 3]);
    tensor.dispose();
    expect(view.shape).toEqual([2, 3]);
    expect(await view.read()).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
    await expectError(() => view.reshape([4]), { code: 'E_INVALID_ARGUMENT', field: 'shape' });
  });

  test('use after dispose', async () => {
    const tensor = Tensor.from([1]);
    tensor.dispose();
    tensor.dispose();
    expect(tensor.disposed).toBe(true);
    await expectError(() => tensor.read(), { code: 'E_DISPOSED' });
    await expectError(() => tensor.reshape([1]), { code: 'E_DISPOSED' });
    await expectError(() => l2Normalize(tensor), { code: 'E_DISPOSED' });
  });

  test('memoryInfo counts what lives', async () => {
    using stream = cpu.createStream();
    await cpu.defaultStream.synchronize();
    const before = cpu.memoryInfo();
    const tensor = Tensor.zeros([1000], { stream });
    const view = tensor.reshape([10, 100]);
    expect(cpu.memoryInfo().tensors).toBe(before.tensors + 1);
    expect(cpu.memoryInfo().tensorBytes).toBe(before.tensorBytes + 4000);
    expect(cpu.memoryInfo().allocated).toBeGreaterThanOrEqual(before.allocated + 4000);
    tensor.dispose();
    view.dispose();
    await stream.synchronize();
    // The op's task lets go of its memory just after the stream reports it done.
    for (let i = 0; i < 100 && cpu.memoryInfo().tensors !== before.tensors; i++)
      await new Promise((done) => setTimeout(done, 5));
    expect(cpu.memoryInfo()).toMatchObject({ tensors: before.tensors, tensorBytes: before.tensorBytes });
  });

  test('operands and results may be disposed while work is queued', async () => {
    using stream = cpu.createStream();
    const data = normals(64 * 64);
    const expected = await l2Normalize(Tensor.from(data, [64, 64])).read();
    let x: Tensor<'f32'> = Tensor.from(data, [64, 64], { stream });
    for (let i = 0; i < 20; i++) {
      const next = l2Normalize(x, { stream });
      l2Normalize(x, { stream }).dispose();
      x.dispose();
      x = next;
    }
    const read = x.read();
    x.dispose();
    (await read).forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5));
    await stream.synchronize();
  });
});

describe('a failure in the queue', () => {
  // The CPU computes on f32; that is the engine's to say, so an f16 op fails when it runs.
  const failing = (stream = cpu.defaultStream) => {
    const half = Tensor.zeros([2, 1, 8], { dtype: 'f16', stream });
    return attention(half, half, half, PackedBatch.fromSequences([[1, 2]]), { stream });
  };

  test('rejects synchronize once, and every read of what came of it', async () => {
    using stream = cpu.createStream();
    const bad = failing(stream);
    const worse = l2Normalize(bad, { stream });
    const good = Tensor.from([3, 4], [1, 2], { stream });
    const error = await expectError(() => stream.synchronize(), { code: 'E_INVALID_ARGUMENT' });
    await stream.synchronize();
    await expectError(() => bad.read(), { code: 'E_INVALID_ARGUMENT', words: error.message });
    await expectError(() => worse.read(), { code: 'E_INVALID_ARGUMENT', words: error.message });
    expect(await good.read()).toEqual(Float32Array.of(3, 4));
  });

  test('told by read, it is not told again by synchronize', async () => {
    using stream = cpu.createStream();
    await expectError(() => failing(stream).read(), { code: 'E_INVALID_ARGUMENT' });
    await stream.synchronize();
  });

  test('crosses to other streams', async () => {
    using stream = cpu.createStream();
    using other = cpu.createStream();
    await expectError(() => l2Normalize(failing(stream), { stream: other }).read(), {
      code: 'E_INVALID_ARGUMENT',
    });
  });
});
