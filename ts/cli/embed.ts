import { once } from 'node:events';
import type { PoolingMode } from '../models/pipeline';
import { Embedder } from '../tasks/embedder';
import type { Embeddings } from '../tasks/embeddings';
import type { SimilarityMatrix } from '../tasks/similarity';
import { chunkOptions, type ChunkFlags } from './chunk_flags';
import { computeOptions, type ComputeFlags } from './compute_flags';
import { clip, table } from './table';
import { readTexts } from './texts';

interface EmbedFlags extends ComputeFlags, ChunkFlags {
  model: string;
  file?: string;
  prompt?: string;
  promptName?: string;
  task?: string;
  pooling?: string[];
  dimensions?: number;
  layers?: number;
  normalize?: boolean;
  truncate: boolean;
  similarity?: boolean;
  batchTokens?: number;
  json?: boolean;
}

/** Rows and columns of a similarity table that a terminal can show. */
const TABLE_TEXTS = 12;
const PREVIEW_NUMBERS = 5;

export async function embed(words: string[], flags: EmbedFlags, signal: AbortSignal): Promise<void> {
  const texts = await readTexts(words, flags.file);
  await using embedder = await Embedder.load(flags.model, {
    ...computeOptions(flags),
    ...(flags.pooling && { pooling: flags.pooling as PoolingMode[] }),
    signal,
  });
  const { prompt, promptName, task, dimensions, layers, normalize, truncate, batchTokens } = flags;
  const vectors = await embedder.embed(texts, {
    ...(prompt !== undefined && { prompt }),
    ...(promptName !== undefined && { promptName }),
    ...(task !== undefined && { task }),
    ...(dimensions !== undefined && { dimensions }),
    ...(layers !== undefined && { layers }),
    ...(normalize !== undefined && { normalize }),
    ...(batchTokens !== undefined && { batchTokens }),
    ...(flags.chunk ? chunkOptions(flags) : { truncate }),
    signal,
  });
  const scores = flags.similarity ? await embedder.similarity(vectors, vectors) : undefined;
  if (flags.json) await printJson(vectors, scores);
  else if (scores) process.stdout.write(similarityTable(texts, scores, embedder.similarityFunction));
  else process.stdout.write(vectorTable(texts, vectors));
}

async function print(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

/** Row by row: the whole would not fit in one string for long lists. */
async function printJson(vectors: Embeddings, scores: SimilarityMatrix | undefined): Promise<void> {
  await print(`{"dimensions":${vectors.dimensions},"embeddings":[`);
  for (let i = 0; i < vectors.length; i++) await print(`${i ? ',' : ''}\n${numbers(vectors.row(i))}`);
  await print('\n]');
  if (scores) {
    await print(',"similarity":[');
    for (let i = 0; i < scores.rows; i++) await print(`${i ? ',' : ''}\n${numbers(scoresOf(scores, i))}`);
    await print('\n]');
  }
  await print('}\n');
}

/** float32 values in the fewest digits that read back as the same float32. */
function numbers(values: Float32Array): string {
  return `[${Array.from(values, shortest).join(',')}]`;
}

function shortest(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return String(Number(text));
  }
  return String(Number(value.toPrecision(9)));
}

function scoresOf({ data, columns }: SimilarityMatrix, row: number): Float32Array {
  return data.subarray(row * columns, (row + 1) * columns);
}

function vectorTable(texts: string[], vectors: Embeddings): string {
  const rows = texts.map((text, i) => {
    const row = vectors.row(i);
    const head = Array.from(row.subarray(0, PREVIEW_NUMBERS), (value) => value.toFixed(4)).join(' ');
    return [clip(text, 40), `${head}${row.length > PREVIEW_NUMBERS ? ' …' : ''}`];
  });
  return `${vectors.length} x ${vectors.dimensions}; --json prints all numbers\n${table(rows)}`;
}

function similarityTable(texts: string[], scores: SimilarityMatrix, kind: string): string {
  if (texts.length <= TABLE_TEXTS) {
    const header = [kind, ...texts.map((_, i) => `${i + 1}`)];
    const rows = texts.map((text, i) => [
      `${i + 1} ${clip(text, 40)}`,
      ...Array.from(scoresOf(scores, i), (score) => score.toFixed(3)),
    ]);
    return table([header, ...rows]);
  }
  const rows = texts.map((text, i) => {
    const row = scoresOf(scores, i);
    let best = i === 0 ? 1 : 0;
    row.forEach((score, j) => {
      if (j !== i && score > row[best]!) best = j;
    });
    return [clip(text, 40), row[best]!.toFixed(3), clip(texts[best]!, 40)];
  });
  return table([['text', kind, 'nearest'], ...rows]);
}
