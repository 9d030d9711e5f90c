// Fixtures with longer tables of positions.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/**
 * A copy of `checkpoint` in the new folder `target` whose table of positions, where it has one, takes `tokens`
 * tokens: the table again and again.
 */
export function withLongerTable(checkpoint: string, target: string, tokens: number): void {
  cpSync(checkpoint, target, { recursive: true });
  const path = join(target, 'model.safetensors');
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<string, Entry>;
  const names = Object.keys(header).filter((name) => name !== '__metadata__');
  const table = names.find((name) => name.endsWith('embeddings.position_embeddings.weight'));
  if (table === undefined) return;
  const rows = tokens + 8; // positions of some families begin after the pad id
  const parts: Buffer[] = [];
  let offset = 0;
  for (const name of names) {
    const entry = header[name]!;
    let bytes = file.subarray(start + entry.data_offsets[0], start + entry.data_offsets[1]);
    if (name === table) {
      const whole = Buffer.concat(Array<Buffer>(Math.ceil(rows / entry.shape[0]!)).fill(bytes));
      bytes = whole.subarray(0, (bytes.length / entry.shape[0]!) * rows);
      entry.shape = [rows, entry.shape[1]!];
    }
    entry.data_offsets = [offset, (offset += bytes.length)];
    parts.push(bytes);
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([length, text, ...parts]));
  const config = join(target, 'config.json');
  const fields = JSON.parse(readFileSync(config, 'utf8')) as object;
  writeFileSync(config, JSON.stringify({ ...fields, max_position_embeddings: rows }));
}
