/** A peer that does not fit is refused, and both nodes say why, once in the log and as long as it lasts in status. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

import { makeCertificates } from '../support/certificates.ts';
import { type LabDaemon, type LabNode, resourceOf } from '../support/daemon.ts';
import { Lab, makeDisk } from '../support/lab.ts';
import { needs } from '../support/needs.ts';

let lab: Lab | null = null;
afterEach(async () => {
  await lab?.close();
  lab = null;
});

async function makeLab(): Promise<Lab> {
  lab = await Lab.make();
  return lab;
}

/** A copy of a file of the lab for one node. */
async function variant(path: string, change: (text: string) => string): Promise<string> {
  const text = await readFile(path, 'utf8');
  const changed = change(text);
  if (changed === text) throw new Error(`nothing changed in ${path}`);
  await writeFile(`${path}.variant`, changed);
  return `${path}.variant`;
}

/** hasta, alone, on an operator's word; then hastb. */
async function start(hasta: LabDaemon, hastb: LabDaemon): Promise<Readonly<Record<LabNode, LabDaemon>>> {
  hasta.start();
  await hasta.promoteAlone('storage');
  hastb.start();
  return { hasta, hastb };
}

/** Both lines are there, once. That it stays at once for as long as the primary tries again shows in the simulation. */
async function expectSaid(
  pair: Readonly<Record<LabNode, LabDaemon>>,
  reasons: Readonly<Record<LabNode, string>>,
): Promise<void> {
  for (const node of ['hasta', 'hastb'] as const) {
    const lines = await pair[node].logged(reasons[node]);
    expect([node, lines.length]).toEqual([node, 1]);
  }
}

const problemOf = (daemon: LabDaemon, reason: string): Promise<unknown> =>
  daemon.until(`refused because ${reason}`, (status) =>
    (resourceOf(status, 'disk1').peerProblem ?? '').includes(reason),
  );

/** Two daemons come up one after the other. ms */
const LONG = { timeout: 60_000 };

describe('both nodes say why when the peer', LONG, () => {
  it('has another secret', async () => {
    const both = await makeLab();
    const { hastateYaml, secretFile } = both;
    await writeFile(`${secretFile}2`, `${'a7'.repeat(32)}\n`, { mode: 0o600 });
    const other = await variant(hastateYaml, (text) => text.replace(secretFile, `${secretFile}2`));
    const pair = await start(both.daemon('hasta'), both.daemon('hastb', { hastateYaml: other }));
    const reason = 'knows the secret';
    await problemOf(pair.hasta, reason);
    await problemOf(pair.hastb, reason);
    await expectSaid(pair, { hasta: reason, hastb: reason });
    const why = await both.hastate('hastb', 'why-not', 'storage');
    expect(`${why.stdout}${why.stderr}`).toContain(reason);
  });

  it('does not encrypt, and is asked to', async () => {
    const both = await makeLab();
    const plain = await variant(both.hastateYaml, (text) =>
      text.replace(/secret-file: .*/, 'insecure: true'),
    );
    const pair = await start(both.daemon('hasta', { hastateYaml: plain }), both.daemon('hastb'));
    const reason = 'does not encrypt the data link';
    await problemOf(pair.hasta, reason);
    await problemOf(pair.hastb, reason);
    await expectSaid(pair, { hasta: reason, hastb: reason });
  });

  it('wants to encrypt, and there is no secret to do it with', async () => {
    const both = await makeLab();
    const plain = await variant(both.hastateYaml, (text) =>
      text.replace(/secret-file: .*/, 'insecure: true'),
    );
    const pair = await start(both.daemon('hasta'), both.daemon('hastb', { hastateYaml: plain }));
    const reasons = { hasta: 'takes no TLS', hastb: 'has a secret-file or tls and this node has none' };
    await problemOf(pair.hasta, reasons.hasta);
    await problemOf(pair.hastb, reasons.hastb);
    await expectSaid(pair, reasons);
  });

  it.skipIf(needs('openssl'))('goes by certificates, and this node by a secret', async () => {
    const both = await makeLab();
    await makeCertificates(both.directory, ['hasta', 'hastb']);
    const at = (name: string): string => join(both.directory, name);
    const hastateYaml = await variant(both.hastateYaml, (text) =>
      text.replace(
        /secret-file: .*/,
        `tls: { certificate: ${at('hastb.crt')}, key: ${at('hastb.key')}, authority: ${at('authority.crt')} }`,
      ),
    );
    const pair = await start(both.daemon('hasta'), both.daemon('hastb', { hastateYaml }));
    const reasons = {
      hasta: 'the peer has certificates and this node a secret-file',
      hastb: 'the peer has a secret-file and this node certificates',
    };
    await problemOf(pair.hasta, reasons.hasta);
    await problemOf(pair.hastb, reasons.hastb);
    await expectSaid(pair, reasons);
    expect(await pair.hasta.logged('it goes by certificates and this node by a secret-file')).toHaveLength(1);
    expect(await pair.hastb.logged('it goes by a secret-file and this node by certificates')).toHaveLength(1);
  });

  it('has a disk of another size', async () => {
    const both = await makeLab();
    await makeDisk(both.places.hastb.disk('disk1'), 12);
    expect((await both.hastate('hastb', 'create', 'disk1')).code).toBe(0);
    const pair = await start(both.daemon('hasta'), both.daemon('hastb'));
    await problemOf(pair.hasta, 'Data size differs');
    await problemOf(pair.hastb, 'Data size differs');
    await expectSaid(pair, { hasta: 'Data size differs', hastb: 'Data size differs' });
    expect(resourceOf(await pair.hasta.status(), 'disk1').role).toBe('primary');
  });

  it('comes from an address that nobody named', async () => {
    const both = await makeLab();
    const { host } = both.places.hasta;
    const moved = await variant(both.hastConf, (text) =>
      text.replace(`source tcp4://${host}`, 'source tcp4://127.0.0.13'),
    );
    const pair = await start(both.daemon('hasta', { hastConf: moved }), both.daemon('hastb'));
    await problemOf(pair.hasta, 'Address 127.0.0.13 is not the remote address');
    await pair.hastb.until('with the stranger in its status', ({ refused }) =>
      refused.some(({ address, count }) => address === '127.0.0.13' && count > 2),
    );
    await expectSaid(pair, { hasta: 'Address 127.0.0.13', hastb: 'data link from 127.0.0.13 refused' });
  });

  it('asks for a resource that is not there', async () => {
    const both = await makeLab();
    const renamed = await variant(both.hastConf, (text) => text.replace('resource disk1', 'resource disk9'));
    const yaml = await variant(both.hastateYaml, (text) => text.replace('[disk1]', '[disk9]'));
    const hastb = both.daemon('hastb', { hastConf: renamed, hastateYaml: yaml });
    const pair = await start(both.daemon('hasta'), hastb);
    await problemOf(pair.hasta, 'Resource not configured');
    await pair.hastb.until('with the question in its status', ({ refused }) =>
      refused.some(({ reason }) => reason.includes('Resource not configured')),
    );
    await expectSaid(pair, { hasta: 'Resource not configured', hastb: 'Resource not configured' });
  });
});
