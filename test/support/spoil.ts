import { readFileSync, writeFileSync } from 'node:fs';

/** Writes NaN over a float32 or bfloat16 tensor of a safetensors file. */
export function spoilTensor(path: string, name: string): void {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<
    string,
    { dtype: string; data_offsets: [number, number] }
  >;
  const { dtype, data_offsets: offsets } = header[name]!;
  // The upper half of a float32 NaN is a bfloat16 NaN.
  const bytes = dtype === 'BF16' ? [0xc0, 0x7f] : [0, 0, 0xc0, 0x7f];
  const [begin, end] = offsets;
  for (let at = begin; at < end; at++) file[start + at] = bytes[(at - begin) % bytes.length]!;
  writeFileSync(path, file);
}
