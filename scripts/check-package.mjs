#!/usr/bin/env node
// Packs the package, installs the tarball into an empty project with --ignore-scripts, and embeds from ESM and CJS.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const checkpoint = join(root, 'test/goldens/models/bert/checkpoint');
const work = mkdtempSync(join(tmpdir(), 'padless-package-'));
const run = (command, args, cwd) =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

const consumer = (head) => `${head}
(async () => {
  const embedder = await Embedder.load(${JSON.stringify(checkpoint)}, { pooling: ['mean'] });
  const vectors = await embedder.embed(['one text', 'another text of a few more words']);
  embedder.dispose();
  if (vectors.length !== 2 || !vectors.row(0).every(Number.isFinite)) throw new Error('no vectors');
  console.log(vectors.length + ' x ' + vectors.dimensions);
})();
`;

let passed = 0;
let failed = 0;
function check(name, body) {
  try {
    body();
    passed++;
    console.log(`ok   ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAIL ${name}: ${error.message}`);
  }
}

try {
  const [{ filename, files }] = JSON.parse(
    run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', work], root),
  );
  const paths = files.map((file) => file.path);
  check('the tarball holds the entries and the addon', () => {
    for (const path of [
      'dist/index.js',
      'dist/index.mjs',
      'dist/index.d.ts',
      'dist/index.d.mts',
      'dist/cli/main.js',
      'build/Release/padless.node',
      'scripts/convert-checkpoint.py',
      'docs/models.md',
    ]) {
      if (!paths.includes(path)) throw new Error(`${path} is missing`);
    }
  });
  check('the tarball holds no sources, tests, build recipe or emulator', () => {
    const extra = paths.filter((path) =>
      /^(lib|cuda|ts|test|bench|scripts(?!\/convert-checkpoint\.py)|cmake)\/|binding\.gyp|CMakeLists|emulator/.test(
        path,
      ),
    );
    if (extra.length > 0) throw new Error(extra.slice(0, 5).join(', '));
  });

  const project = join(work, 'project');
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "name": "consumer", "private": true }\n');
  run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', join(work, filename)], project);
  check('no lifecycle script of the package would run for a consumer', () => {
    const { scripts = {}, gypfile } = JSON.parse(
      run(process.execPath, ['-p', "JSON.stringify(require('padless/package.json'))"], project),
    );
    const lifecycle = ['preinstall', 'install', 'postinstall'].filter((name) => name in scripts);
    if (lifecycle.length > 0 || gypfile !== false)
      throw new Error(`${lifecycle.join(', ')} gypfile ${gypfile}`);
  });
  writeFileSync(join(project, 'use.mjs'), consumer("import { Embedder } from 'padless';"));
  writeFileSync(join(project, 'use.cjs'), consumer("const { Embedder } = require('padless');"));
  for (const file of ['use.mjs', 'use.cjs']) {
    check(`${file} embeds`, () => {
      const output = run(process.execPath, [file], project).trim();
      if (output !== '2 x 96') throw new Error(output);
    });
  }
  check('both entries export the same names', () => {
    run(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `
      import * as esm from 'padless';
      import { createRequire } from 'node:module';
      const cjs = createRequire(process.cwd() + '/x.js')('padless');
      for (const name of Object.keys(cjs)) if (esm[name] !== cjs[name]) throw new Error(name);
    `,
      ],
      project,
    );
  });
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
