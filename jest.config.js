const { spawnSync } = require('node:child_process');

const suite = {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  transform: { '^.+\\.ts$': ['ts-jest', { tsconfig: 'tsconfig.test.json', diagnostics: false }] },
};

/** The suite that every device passes, once more on the emulated GPU: an addon of its own, built before it. */
const emulator = {
  ...suite,
  displayName: 'emulator',
  testMatch: ['**/test/device/*.test.ts'],
  setupFiles: ['<rootDir>/test/support/use_emulator.js'],
  globalSetup: '<rootDir>/test/support/build_emulator.js',
};

function whyNoEmulator() {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'it needs Linux on x86-64';
  if (spawnSync('cmake', ['--version'], { stdio: 'ignore' }).status !== 0) return 'there is no cmake';
  return undefined;
}

const reason = whyNoEmulator();
if (reason) console.info(`skipped: the device tests on the emulator; ${reason}`);

/** @type {import('jest').Config} */
module.exports = {
  maxWorkers: 2,
  testTimeout: 60_000,
  projects: [
    { ...suite, displayName: 'padless', testMatch: ['**/*.test.ts'] },
    ...(reason ? [] : [emulator]),
  ],
};
