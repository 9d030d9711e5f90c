// sources.json is what every build compiles: a file that it lacks would be missing at run time only.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');

/** The strings of a JSON value, whatever its shape. */
function strings(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(strings) : [];
}

function files(folder: string, ending: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(ending))
    .map((file) => `${folder}/${file}`);
}

const sources = JSON.parse(readFileSync(join(root, 'sources.json'), 'utf8')) as { cuda: { sm90: string[] } };
const kernels = files('cuda', '.cu').filter((file) => !/^cuda\/(tests|bench|emulator)\//.test(file));

test('every source file is listed', () => {
  const listed = new Set(strings(sources));
  expect([...files('lib', '.cc'), ...kernels].filter((file) => !listed.has(file))).toEqual([]);
});

test('the kernels of sm90 folders, and no others, are compiled for sm_90a alone', () => {
  expect(sources.cuda.sm90).toEqual(kernels.filter((file) => file.includes('/sm90/')).sort());
});
