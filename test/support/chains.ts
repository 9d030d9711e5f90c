// The sentence-transformers directories of test/goldens/chains: see the README there.
import { cpSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { decodeSafetensors } from '../../ts/io/safetensors';

const goldens = join(__dirname, '../goldens');

export interface Chain {
  name: string;
  base: string;
  basePath: string;
  inputs: { text: string; promptName: string | null; ids: number[]; skip: number }[];
  /** [inputs.length, D] */
  expected: { shape: number[]; data: Float64Array };
}

export function chainNames(): string[] {
  return readdirSync(join(goldens, 'chains'));
}

/** Reads a chain and puts its directory together in `target`. */
export function makeChain(name: string, target: string): Chain {
  const folder = join(goldens, 'chains', name);
  const chain = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as Chain;
  mkdirSync(join(target, chain.basePath), { recursive: true });
  cpSync(join(goldens, 'models', chain.base, 'checkpoint'), join(target, chain.basePath), {
    recursive: true,
  });
  cpSync(join(folder, 'files'), target, { recursive: true });
  const { tensors } = decodeSafetensors(readFileSync(join(folder, 'expected.safetensors')));
  const { shape, data } = tensors['sentence_embedding']!;
  return { ...chain, expected: { shape, data: data as Float64Array } };
}

/** |actual - expected| / |expected| */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  return actual.length === expected.length ? Math.sqrt(difference / norm) : Infinity;
}
