import { Reranker } from '../tasks/reranker';
import { chunkOptions, type ChunkFlags } from './chunk_flags';
import { callOptions, headLoadOptions, printJson, type HeadFlags } from './head_flags';
import { clip, table } from './table';
import { readTexts } from './texts';

interface RerankFlags extends HeadFlags, ChunkFlags {
  topN?: number;
  instruction?: string;
  activation?: 'sigmoid' | 'none';
}

/** `padless rerank`: documents by how well they answer the query. */
export async function rerank(
  query: string,
  words: string[],
  flags: RerankFlags,
  signal: AbortSignal,
): Promise<void> {
  const { topN, instruction, activation } = flags;
  const documents = await readTexts(words, flags.file);
  await using reranker = await Reranker.load(flags.model, headLoadOptions(flags, signal));
  const ranked = await reranker.rank(query, documents, {
    ...callOptions(flags, signal),
    ...chunkOptions(flags),
    ...(topN !== undefined && { topN }),
    ...(instruction !== undefined && { instruction }),
    ...(activation && { activation }),
  });
  if (flags.json) {
    printJson(ranked);
    return;
  }
  const rows = ranked.map(({ index, score, document }) => [index + 1, score.toFixed(4), clip(document, 72)]);
  process.stdout.write(table([['', 'score', 'document'], ...rows]));
}
