// Tests that not every machine can run.

/** `test` where it can run; elsewhere it is skipped, and the reason printed: `reason` names the test and what lacks. */
export function testIf(possible: boolean, reason: string): jest.It {
  if (possible) return test;
  // Not by console: what a file says that is skipped whole, Jest prints only where it runs alone.
  process.stderr.write(`skipped: ${reason}\n`);
  return test.skip;
}
