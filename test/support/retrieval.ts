// The sparse, late-interaction and BGE-M3 directories of test/goldens/retrieval: see the README there.
import { cpSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readF64 } from './goldens';

const goldens = join(__dirname, '../goldens');

export interface RetrievalCase {
  checkpoint: string;
  texts: string[];
  queries: string[];
  documents: string[];
  expected: ReturnType<typeof readF64>;
}

export function retrievalNames(): string[] {
  return readdirSync(join(goldens, 'retrieval'));
}

/** Reads a case and copies its directory to `target`, where BGE-M3 gets the tokenizer that it shares. */
export function makeRetrieval(name: string, target: string): RetrievalCase {
  const folder = join(goldens, 'retrieval', name);
  cpSync(join(folder, 'checkpoint'), target, { recursive: true });
  if (name === 'bge-m3') {
    cpSync(join(goldens, 'models/xlm-roberta/checkpoint/tokenizer.json'), join(target, 'tokenizer.json'));
  }
  const facts = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as object;
  return {
    texts: [],
    queries: [],
    documents: [],
    ...facts,
    checkpoint: target,
    expected: readF64(join(folder, 'expected.safetensors')),
  };
}
