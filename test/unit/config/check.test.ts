import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkConfiguration } from '../../../src/config/check.ts';
import type { CheckResult } from '../../../src/config/check.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hastate-check-'));
});
afterEach(() => rm(directory, { recursive: true }));

function check(hastateRequired = false): Promise<CheckResult> {
  const hastConf = join(directory, 'hast.conf');
  return checkConfiguration({
    hastConf,
    hastateYaml: join(directory, 'hastate.yaml'),
    hastateRequired,
    node: 'a',
  });
}

const write = (name: string, text: string): Promise<void> => writeFile(join(directory, name), text);
const conf = (disk: string): string =>
  `control ${directory}/ctl\nresource r { local ${directory}/${disk} on a { remote 10.0.0.2 } on b { remote 10.0.0.1 } }`;

it('says `missing` when a file cannot be opened, and `ok` for a hast.conf alone', async () => {
  await expect(check()).resolves.toMatchObject({ outcome: 'missing', hast: null });
  await write('hast.conf', conf('disk'));
  await write('disk', '');
  await expect(check()).resolves.toMatchObject({ outcome: 'ok', diagnostics: [], hastate: null });
  await expect(check(true)).resolves.toMatchObject({ outcome: 'missing' });
});

it('says `invalid` with the errors of both files', async () => {
  await write('hast.conf', 'timeout 0');
  await write('hastate.yaml', 'lgo: {}');
  const { outcome, diagnostics } = await check();
  expect(outcome).toBe('invalid');
  expect(diagnostics.map(({ message }) => message)).toEqual(["'timeout' is zero", "unknown key 'lgo'"]);
});

it('warns of a disk that is not there, at its resource, and of a directory in its place', async () => {
  await write('hast.conf', conf('disk'));
  const gone = await check();
  expect(gone).toMatchObject({ outcome: 'ok', diagnostics: [{ line: 2, column: 10, severity: 'warning' }] });
  expect(gone.diagnostics[0]?.message).toContain('disk: no such file or directory');
  await write('hast.conf', conf('.'));
  expect((await check()).diagnostics[0]?.message).toContain('neither a file nor a disk');
});

it('gives the settings of both files when they are right', async () => {
  await write('hast.conf', conf('disk'));
  await write('disk', '');
  await write(
    'hastate.yaml',
    'insecure: true\nnodes: { a: { peer: x }, b: { peer: y } }\ngroups: { g: { resources: [r] } }',
  );
  const { outcome, hast, hastate } = await check();
  expect(outcome).toBe('ok');
  expect(hast?.resources[0]?.peer).toBe('b');
  expect(hastate?.peer?.name).toBe('b');
});
