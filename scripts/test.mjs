/**
 * Runs the tests and says, by name, which suites were skipped and what they need.
 * Arguments go to vitest. With CI=true a skipped suite is a failure.
 * What failed is told again at the end, as a long log is often read from its tail. The last line is
 * `N passed, N failed`; HASTATE_TEST_SUMMARY names a file that gets both.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { ROOT } from './sources.mjs';

/** Reads `suite\tmissing` lines, each once. */
function readSkips(file) {
  if (!existsSync(file)) return [];
  return [...new Set(readFileSync(file, 'utf8').split('\n').filter(Boolean))].sort();
}

/** One line of what a suite or a test ended with: enough to know it again. */
function firstWords(message) {
  const [line = ''] = stripVTControlCharacters(message ?? '').split('\n');
  return line.slice(0, 300);
}

/** Numbers of vitest's own report, and a line for each failure; a file that could not be loaded or closed is one. */
function readReport(file) {
  if (!existsSync(file)) return { passed: 0, skipped: 0, failures: ['no report was written'] };
  const report = JSON.parse(readFileSync(file, 'utf8'));
  const failures = report.testResults.flatMap(({ name, status, message, assertionResults }) => {
    const suite = relative(ROOT, name);
    const failed = assertionResults.filter((test) => test.status === 'failed');
    if (status === 'failed' && failed.length === 0) return [`${suite}: ${firstWords(message)}`];
    return failed.map(
      ({ fullName, failureMessages }) => `${suite}: ${fullName}: ${firstWords(failureMessages[0])}`,
    );
  });
  return { passed: report.numPassedTests, skipped: report.numPendingTests + report.numTodoTests, failures };
}

/**
 * Words before a program: a mount namespace of its own, in which what a suite unmounts vanishes from the network
 * namespaces of the others as well. They mount /sys for themselves, and where / is private their copies of a mount
 * would hold its device for as long as they last.
 */
function ownMounts() {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return [];
  const words = ['unshare', '--mount', '--propagation', 'slave', '--'];
  const share = ['sh', '-c', 'mount --make-rshared / && exec "$@"', 'sh'];
  const works = spawnSync(words[0], [...words.slice(1), ...share, 'true']).status === 0;
  return works ? [...words, ...share] : [];
}

function runVitest(directory, args) {
  const [program, ...words] = [...ownMounts(), process.execPath];
  const vitest = spawn(
    program,
    [
      ...words,
      join(ROOT, 'node_modules/vitest/vitest.mjs'),
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${join(directory, 'report.json')}`,
      ...args,
    ],
    { cwd: ROOT, stdio: 'inherit', env: { ...process.env, HASTATE_SKIPS: join(directory, 'skips') } },
  );
  const pass = (signal) => vitest.kill(signal);
  process.on('SIGINT', pass).on('SIGTERM', pass);
  return new Promise((resolve, reject) => {
    vitest.on('error', reject);
    vitest.on('exit', (code) => resolve(code ?? 1));
  });
}

const directory = mkdtempSync(join(tmpdir(), 'hastate-test-'));
try {
  const code = await runVitest(directory, process.argv.slice(2));
  const skips = readSkips(join(directory, 'skips'));
  const { passed, skipped, failures } = readReport(join(directory, 'report.json'));
  if (skips.length > 0) {
    console.log('Skipped suites:');
    for (const skip of skips) console.log(`  ${skip.replace('\t', ': needs ')}`);
    if (process.env.CI === 'true') console.log('With CI=true a skipped suite is a failure.');
  }
  if (code !== 0 && failures.length === 0)
    failures.push(`vitest ended with ${code}: an error outside of the tests`);
  if (skipped > 0) console.log(`${skipped} skipped`);
  const summary = [
    ...failures.map((failure) => `failed: ${failure}`),
    `${passed} passed, ${failures.length} failed`,
  ];
  for (const line of summary) console.log(line);
  if (process.env.HASTATE_TEST_SUMMARY)
    writeFileSync(process.env.HASTATE_TEST_SUMMARY, `${summary.join('\n')}\n`);
  const skipsFail = process.env.CI === 'true' && (skips.length > 0 || skipped > 0);
  process.exitCode = code !== 0 || failures.length > 0 || skipsFail ? 1 : 0;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
