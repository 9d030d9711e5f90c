// The README's program and every @example: they have the types that they say, and run.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { MINILM, writeRandomCheckpoint } from '../../ts/demo/random_checkpoint';
import { root } from '../support/child';
import { readGolden } from '../support/goldens';
import { makeRetrieval } from '../support/retrieval';
import { scratchDirectory } from '../support/scratch';
import { makeTask } from '../support/tasks';

const scratch = scratchDirectory();

/** What the examples leave to their reader. */
const givens = `
  const { signal } = new AbortController();
  const [premise, hypothesis] = ['A man is eating.', 'Somebody eats.'];
  const [question, context] = ['Where did she live?', 'Ada Lovelace lived in London.'];
  const documents = ['the tide rises', 'bread and butter'];
  const [queries, texts] = [['how do tides work'], ['Ada Lovelace lived in London.']];
  const x = padless.Tensor.from(Array(16).fill(0.5), [4, 4]);
  const [weight, bias] = [padless.Tensor.from(Array(16).fill(0.1), [4, 4]), padless.Tensor.from([1, 2, 3, 4], [4])];
  const [q, k, v] = [1, 2, 3].map((i) => padless.Tensor.from(Array(5 * 768).fill(i / 8), [5, 768])) as
    [padless.Tensor, padless.Tensor, padless.Tensor];
  const batch = padless.PackedBatch.fromSequences([[1, 2, 3], [4, 5]]);
  void [signal, premise, hypothesis, question, context, documents, queries, texts, x, weight, bias, q, k, v, batch];
`;

/** The fixtures that stand for the directories that the examples name. */
const models: Record<string, (target: string) => void> = {
  'ms-marco-MiniLM-L6-v2': (target) => makeTask('rerank-default', target),
  'bert-base-NER': (target) => makeTask('entities-bert', target),
  'nli-deberta-v3-base': (target) => makeTask('classify-one-of', target),
  sentiment: (target) => makeTask('classify-one-of', target),
  'roberta-base-squad2': (target) => makeTask('questions-roberta', target),
  'bert-base-uncased': (target) => makeTask('masks-bert', target),
  'splade-v3': (target) => makeRetrieval('splade', target),
  'answerai-colbert-small-v1': (target) => makeRetrieval('colbert-pylate', target),
  'bge-m3': (target) => makeRetrieval('bge-m3', target),
};

/** A layer of MiniLM's width, with a prompt called "query". */
async function makeMiniLm(target: string): Promise<void> {
  mkdirSync(target, { recursive: true });
  const { checkpoint } = readGolden('bert');
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    cpSync(join(checkpoint, name), join(target, name));
  await writeRandomCheckpoint(target, {
    vocabSize: 600,
    seed: 1,
    shape: { ...MINILM, layers: 1 },
    signal: new AbortController().signal,
  });
  const prompts = { prompts: { query: 'query: ' } };
  writeFileSync(join(target, 'config_sentence_transformers.json'), JSON.stringify(prompts));
}

/** A module of an example: its imports first, then what it takes for granted, then itself. */
function moduleOf(source: string): string {
  const lines = source.split('\n');
  const isImport = (line: string) => line.startsWith('import ');
  return [
    "import * as padless from 'padless';",
    ...lines.filter(isImport),
    givens,
    '{',
    ...lines.filter((line) => !isImport(line)),
    '}',
  ].join('\n');
}

function readmeExample(): string {
  const text = readFileSync(join(root, 'README.md'), 'utf8');
  return [...text.matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code!).join('\n');
}

/** The examples of the sources, by file and number; they import nothing, so they get all of the package. */
function docExamples(): [name: string, source: string][] {
  const files = readdirSync(join(root, 'ts'), { recursive: true, encoding: 'utf8' });
  return files
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => {
      const text = readFileSync(join(root, 'ts', file), 'utf8');
      return [...text.matchAll(/\* @example\n(.*?)\n *\*\//gs)].map(([, block], i): [string, string] => {
        const code = block!.replace(/^ *\* ?/gm, '').replace(/^```.*$/gm, '');
        const used = exported.filter((name) => new RegExp(`\\b${name}\\b`).test(code));
        return [
          `${file.replace(/[\\/.]/g, '-')}-${i}`,
          `import { ${used.join(', ')} } from 'padless';\n${code}`,
        ];
      });
    });
}

// eslint-disable-next-line @typescript-eslint/no-require-imports
const exported = Object.keys(require(join(root, 'dist/index.js')) as object);
const examples: [string, string][] = [['README', readmeExample()], ...docExamples()];

beforeAll(async () => {
  mkdirSync(join(scratch, 'node_modules'));
  symlinkSync(root, join(scratch, 'node_modules/padless'));
  symlinkSync(join(root, 'node_modules/@types'), join(scratch, 'node_modules/@types'));
  for (const [name, make] of Object.entries(models)) make(join(scratch, name));
  await makeMiniLm(join(scratch, 'all-MiniLM-L6-v2'));
  for (const [name, source] of examples) writeFileSync(join(scratch, `${name}.mts`), moduleOf(source));
});

test('their types are right', () => {
  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.Node16,
    moduleResolution: ts.ModuleResolutionKind.Node16,
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    types: ['node'],
    strict: true,
    skipLibCheck: true,
    outDir: join(scratch, 'run'),
  };
  const program = ts.createProgram(
    examples.map(([name]) => join(scratch, `${name}.mts`)),
    options,
  );
  const found = ts.getPreEmitDiagnostics(program).map(({ file, messageText }) => {
    return `${file?.fileName ?? ''}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
  });
  expect(found).toEqual([]);
  program.emit();
});

test.each(examples.map(([name]) => name))('%s runs', (name) => {
  const { status, stderr } = spawnSync(process.execPath, [join(scratch, 'run', `${name}.mjs`)], {
    cwd: scratch,
    encoding: 'utf8',
    timeout: 60_000,
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
});
