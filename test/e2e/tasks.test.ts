// The tasks on heads against transformers' pipelines and sentence-transformers' CrossEncoder in float64.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Classifier, type LabelScore } from '../../ts/tasks/classifier';
import type { Aggregation, Entity } from '../../ts/tasks/entities';
import { FillMask, type Filling } from '../../ts/tasks/fill_mask';
import { QuestionAnswerer, type Answer, type AnswerOptions } from '../../ts/tasks/question_answerer';
import { Reranker } from '../../ts/tasks/reranker';
import { TokenClassifier } from '../../ts/tasks/token_classifier';
import { scratchDirectory } from '../support/scratch';
import { makeTask, taskNames } from '../support/tasks';
import { exactCpu } from '../support/devices';

const scratch = scratchDirectory();
const digits = 5;

/** The same, numbers rounded: scores are compared after float32 arithmetic. */
function rounded(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, part: unknown) =>
      typeof part === 'number' ? Number(part.toFixed(digits)) : part,
    ),
  );
}

/** Fails unless both have the same keys and values, and numbers differ by less than 1e-5. */
function expectClose(actual: unknown, expected: unknown, context: object): void {
  if (typeof expected === 'number') {
    if (!(Math.abs((actual as number) - expected) < 1e-5))
      throw new Error(`${String(actual)} is not ${expected}: ${JSON.stringify(context)}`);
  } else if (typeof expected === 'object' && expected !== null) {
    expect({ context, keys: Object.keys(actual as object).sort() }).toEqual({
      context,
      keys: Object.keys(expected).sort(),
    });
    for (const [key, value] of Object.entries(expected))
      expectClose((actual as Record<string, unknown>)[key], value, context);
  } else {
    expect({ context, actual }).toEqual({ context, actual: expected });
  }
}

interface ClassifyCase {
  text: string;
  pair?: string;
  scores: LabelScore[];
}

test.each(taskNames('classify-'))('%s', async (name) => {
  const target = join(scratch, name);
  const cases = makeTask<ClassifyCase>(name, target);
  await using classifier = await Classifier.load(target, { device: exactCpu });
  const singles = cases.filter(({ pair }) => pair === undefined);
  const pairs = cases.filter(({ pair }) => pair !== undefined);
  const results = [
    ...(await classifier.classify(singles.map(({ text }) => text))),
    ...(await classifier.classify(pairs.map(({ text, pair }) => ({ text, pair: pair! })))),
  ];
  [...singles, ...pairs].forEach(({ text, pair, scores }, i) =>
    expectClose(results[i], scores, { text, pair }),
  );
  const alone = await classifier.classify(singles[0]!.text, { topK: 2 });
  expect(alone).toEqual([results[0]!.slice(0, 2)]);
});

interface RerankCase {
  query: string;
  documents: string[];
  scores: number[];
  /** For language models. */
  instruction?: string;
  maxLength?: number;
}

test.each(taskNames('rerank-'))('%s', async (name) => {
  const target = join(scratch, name);
  const cases = makeTask<RerankCase>(name, target);
  const config = JSON.parse(readFileSync(join(target, 'tokenizer_config.json'), 'utf8')) as object;
  for (const { query, documents, scores, instruction, maxLength } of cases) {
    const limit = name.startsWith('rerank-qwen3') ? (maxLength ?? 1024) : undefined;
    writeFileSync(
      join(target, 'tokenizer_config.json'),
      JSON.stringify({ ...config, ...(limit && { model_max_length: limit }) }),
    );
    await using reranker = await Reranker.load(target, { device: exactCpu });
    const options = instruction === undefined ? {} : { instruction };
    const ranked = await reranker.rank(query, documents, options);
    const order = scores.map((_, i) => i).sort((a, b) => scores[b]! - scores[a]!);
    expect(ranked.map(({ index }) => index)).toEqual(order);
    ranked.forEach(({ index, score, document }) => {
      expectClose(score, scores[index]!, { query, index });
      expect(document).toBe(documents[index]);
    });
    expect(await reranker.rank(query, documents, { ...options, topN: 2 })).toEqual(ranked.slice(0, 2));
  }
});

interface EntityCase {
  text: string;
  aggregation: Aggregation;
  stride?: number;
  entities: Omit<Entity, 'text'>[];
}

test.each(taskNames('entities-'))('%s', async (name) => {
  const target = join(scratch, name);
  const cases = makeTask<EntityCase>(name, target);
  await using classifier = await TokenClassifier.load(target, { device: exactCpu });
  for (const { text, aggregation, stride, entities } of cases) {
    const options = { aggregation, ...(stride !== undefined && { stride }) };
    const [found] = await classifier.classify(text, options);
    const wanted = entities.map((entity) => ({ ...entity, text: text.slice(entity.start, entity.end) }));
    expectClose(found, wanted, { text, aggregation });
  }
  const plain = cases.filter(({ aggregation, stride }) => aggregation === 'simple' && stride === undefined);
  const together = await classifier.classify(plain.map(({ text }) => text));
  expect(rounded(together.map((found) => found.map(({ start, end }) => [start, end])))).toEqual(
    plain.map(({ entities }) => entities.map(({ start, end }) => [start, end])),
  );
});

interface MaskCase {
  text: string;
  masks: Filling[][];
}

test.each(taskNames('masks-'))('%s', async (name) => {
  const target = join(scratch, name);
  const cases = makeTask<MaskCase>(name, target);
  await using filler = await FillMask.load(target, { device: exactCpu });
  const found = await filler.fill(
    cases.map(({ text }) => text),
    { topK: 3 },
  );
  cases.forEach(({ text, masks }, i) => expectClose(found[i], masks, { text }));
});

interface QuestionCase {
  question: string;
  context: string;
  windows: number;
  options: AnswerOptions;
  answers: Answer[];
}

test.each(taskNames('questions-'))('%s', async (name) => {
  const target = join(scratch, name);
  const cases = makeTask<QuestionCase>(name, target);
  expect(Math.max(...cases.map(({ windows }) => windows))).toBeGreaterThan(1);
  await using answerer = await QuestionAnswerer.load(target, { device: exactCpu });
  for (const { question, context, options, answers } of cases) {
    const [found] = await answerer.answer(
      { question, context },
      { ...options, windowTokens: 64, stride: 16 },
    );
    expectClose(found, answers, { question, context, options });
  }
});
