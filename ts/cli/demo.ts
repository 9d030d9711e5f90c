import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tokenizeChunks } from '../batching/chunks';
import { compare, type Comparison } from '../demo/comparison';
import { nearestNeighbours } from '../demo/neighbours';
import { MINILM, writeRandomCheckpoint } from '../demo/random_checkpoint';
import { TEXT_FOLDER, readSentences, textFiles, type Sentence } from '../demo/texts';
import { trainWordPiece } from '../demo/wordpiece';
import { Encoder } from '../encoder';
import { writing } from '../io/write_error';
import type { PoolingMode } from '../models/pipeline';
import { Embedder } from '../tasks/embedder';
import type { SimilarityMatrix } from '../tasks/similarity';
import { Tokenizer } from '../tokenizer/tokenizer';
import { computeOptions, type ComputeFlags } from './compute_flags';
import { comparisonTable } from './comparison_table';
import { clip } from './table';

interface DemoFlags extends ComputeFlags {
  model?: string;
  pooling?: string[];
  keep?: string;
}

const SEED = 1;
const BATCH_SIZE = 32;
const ROUNDS = 5;
const NEIGHBOURS_SHOWN = 10;
const LINE = 90;

const say = (text: string) => process.stdout.write(`${text}\n`);

/** `padless demo`: the main job on real text, with a random checkpoint made on the spot or a real one. */
export async function demo(flags: DemoFlags, signal: AbortSignal): Promise<void> {
  const files = await textFiles(TEXT_FOLDER);
  const sentences = await readSentences(files);
  const temporary = flags.model === undefined && flags.keep === undefined;
  const place = join(tmpdir(), 'padless-demo-');
  const model = flags.model ?? flags.keep ?? (await writing(place, () => mkdtemp(place)));
  try {
    if (flags.model === undefined) await writing(model, () => makeModel(model, files, signal));
    await show(model, sentences, flags, signal);
  } finally {
    if (temporary) await rm(model, { recursive: true, force: true });
  }
}

async function makeModel(folder: string, files: string[], signal: AbortSignal): Promise<void> {
  await mkdir(folder, { recursive: true });
  const vocabSize = await trainWordPiece(files, folder);
  say(`WordPiece of ${vocabSize} tokens, trained on ${files.length} text files`);
  await writeRandomCheckpoint(folder, { vocabSize, seed: SEED, signal });
  const { layers, hidden, heads, intermediate } = MINILM;
  say(
    `RANDOM weights (seed ${SEED}) in MiniLM's shape: ${layers} layers, hidden ${hidden}, ${heads} heads, intermediate ${intermediate}`,
  );
}

async function show(
  model: string,
  sentences: Sentence[],
  flags: DemoFlags,
  signal: AbortSignal,
): Promise<void> {
  const compute = { ...computeOptions(flags), signal };
  await using embedder = await Embedder.load(model, {
    ...compute,
    ...(flags.pooling && { pooling: flags.pooling as PoolingMode[] }),
  });
  const texts = sentences.map(({ text }) => text);
  const start = performance.now();
  const vectors = await embedder.embed(texts, { signal });
  const seconds = (performance.now() - start) / 1000;
  say(`${texts.length} sentences -> ${vectors.length} x ${vectors.dimensions} in ${seconds.toFixed(2)} s\n`);
  say(comparisonTable(await compareOn(model, texts, flags, signal), BATCH_SIZE));
  say(neighbours(sentences, await embedder.similarity(vectors, vectors), flags.model === undefined));
}

/** The same model again, as encoder and tokenizer: both are shared with the embedder, not loaded twice. */
async function compareOn(
  model: string,
  texts: string[],
  flags: DemoFlags,
  signal: AbortSignal,
): Promise<Comparison> {
  await using encoder = await Encoder.load(model, { ...computeOptions(flags), signal });
  const tokenizer = await Tokenizer.load(encoder.directory, { maxLength: encoder.maxLength, signal });
  try {
    const sequences: Int32Array[] = [];
    for await (const { ids, lengths } of tokenizeChunks(tokenizer, texts, { signal })) {
      let offset = 0;
      for (const length of lengths) sequences.push(ids.slice(offset, (offset += length)));
    }
    return await compare(encoder, sequences, {
      batchSize: BATCH_SIZE,
      rounds: ROUNDS,
      padId: encoder.spec.positions.padId ?? 0,
      signal,
    });
  } finally {
    await tokenizer.dispose();
  }
}

function neighbours(sentences: Sentence[], scores: SimilarityMatrix, random: boolean): string {
  const nearest = nearestNeighbours(scores);
  const sameTopic = nearest.filter(({ index }, i) => sentences[index]!.topic === sentences[i]!.topic).length;
  const topics = new Set(sentences.map(({ topic }) => topic)).size;
  const line = ({ topic, text }: Sentence) => `${topic.padEnd(9)} ${clip(text, LINE)}`;
  const step = sentences.length / NEIGHBOURS_SHOWN;
  const shown = Array.from({ length: NEIGHBOURS_SHOWN }, (_, i) => Math.floor((i + 0.5) * step));
  return [
    `nearest neighbours, cosine${random ? ' (weights are random, so they follow shared words, not meaning)' : ''}`,
    ...shown.flatMap((i) => [
      `       ${line(sentences[i]!)}`,
      `${nearest[i]!.score.toFixed(3)}  ${line(sentences[nearest[i]!.index]!)}\n`,
    ]),
    `${sameTopic} of ${sentences.length} sentences have their nearest neighbour in the same file; chance is ${Math.round(sentences.length / topics)}`,
  ].join('\n');
}
