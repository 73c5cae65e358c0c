/** hastate.yaml and the files that it names, on a real file system. */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseHastConf, resolveHastConf } from '../../../src/config/hast-conf.ts';
import { loadHastate } from '../../../src/config/hastate-yaml.ts';
import type { HastSettings } from '../../../src/model/settings.ts';

const sample = (name: string): Promise<string> =>
  readFile(fileURLToPath(new URL(`../../../etc/${name}`, import.meta.url)), 'utf8');

function hast(text: string): HastSettings {
  const identity = { hostname: 'hast1', hostuuid: null, hostid: null };
  return resolveHastConf(parseHastConf(text, 'hast.conf'), { node: 'hast1', identity });
}

describe('loadHastate', () => {
  let directory: string;
  let node: HastSettings;
  let yaml: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hastate-yaml-'));
    node = hast(await sample('hast.conf.sample'));
    yaml = await sample('hastate.yaml.sample');
  });
  afterAll(() => rm(directory, { recursive: true }));

  it('refuses secrets that are missing, empty or open to others, where they are named', async () => {
    const path = join(directory, 'hastate.yaml');
    const secret = join(directory, 'secret');
    const password = join(directory, 'password');
    await writeFile(path, yaml.replace('/etc/hastate.secret', secret).replace('/etc/hastate.carp', password));
    await expect(loadHastate(path, node)).rejects.toThrow(
      `${path}:7:14: cannot read ${secret}: no such file or directory; create it`,
    );
    await writeFile(secret, '', { mode: 0o600 });
    await writeFile(password, 'x');
    await chmod(password, 0o640);
    const refused = loadHastate(path, node);
    await expect(refused).rejects.toThrow(`${path}:7:14: ${secret} is empty`);
    await expect(refused).rejects.toThrow(
      `:23:22: ${password} has mode 0640 and not 0600; run 'chmod 0600 ${password}'`,
    );
    await writeFile(secret, 'x'.repeat(16));
    await chmod(password, 0o600);
    await expect(loadHastate(path, node)).resolves.toMatchObject({ secretFile: secret });
  });

  it('says config-missing for a file that cannot be opened', async () => {
    await expect(loadHastate(join(directory, 'no'), node)).rejects.toMatchObject({
      code: 'config-missing',
    });
  });
});
