/**
 * What passes between two nodes on the data link, as somebody sees it who carries it; and their secret or their
 * certificates changed meanwhile.
 */
import { chmod, copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { connectNbd } from '../../src/device/nbd-initiator.ts';
import type { ReloadResult } from '../../src/protocol/control.ts';
import { makeCertificates } from '../support/certificates.ts';
import { type LabDaemon, resourceOf } from '../support/daemon.ts';
import { untilPaired } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { eventually } from '../support/stamped-clients.ts';
import { TcpRelay } from '../support/tcp-relay.ts';

const MARK = 'a block that nobody else may read ';
/** Of the handshake, and of requests. */
const FIELDS = ['resource', 'datasize', 'resuid', 'cmd', 'offset', 'disk1'];
const NODES = ['hasta', 'hastb'] as const;

let lab: Lab;
let relay: TcpRelay;
let pair: { hasta: LabDaemon; hastb: LabDaemon };
beforeEach(async () => {
  lab = await Lab.make();
  const { hasta, hastb } = lab.places;
  relay = await TcpRelay.start(hastb.host, { host: hastb.host, port: hastb.dataPort, from: hasta.host });
});
afterEach(async () => {
  relay.close();
  await lab.close();
});

/** Both nodes; hasta reaches the data link of hastb through the relay. */
async function start(yaml: Partial<Record<'hasta' | 'hastb', string>> = {}): Promise<void> {
  const { host, dataPort } = lab.places.hastb;
  const text = await readFile(lab.hastConf, 'utf8');
  const through = `${lab.hastConf}.relayed`;
  await writeFile(
    through,
    text.replace(`remote tcp4://${host}:${dataPort}`, `remote tcp4://${host}:${relay.port}`),
  );
  pair = {
    hasta: lab.daemon('hasta', { hastConf: through, hastateYaml: yaml.hasta ?? lab.hastateYaml }).start(),
    hastb: lab.daemon('hastb', { hastateYaml: yaml.hastb ?? lab.hastateYaml }).start(),
  };
  await untilPaired({ primary: pair.hasta, standby: pair.hastb });
}

async function writeMark(): Promise<void> {
  const { export: exported } = resourceOf(await pair.hasta.status(), 'disk1');
  if (exported === null) throw new Error('nothing is exported');
  const client = await connectNbd({ socketPath: exported.socket, exportName: exported.name });
  await client.write(0, Buffer.alloc(65536, MARK));
  await client.flush();
  await client.disconnect();
}

async function reload(node: 'hasta' | 'hastb', applied: string): Promise<void> {
  const result = (await pair[node].request('reload', {}, 20_000)) as ReloadResult;
  expect(result).toEqual({ accepted: true, applied: [applied], needsRestart: [], problems: [] });
}

/** The data link has to be made anew with what both have now. */
async function remake(): Promise<void> {
  const connected = async (): Promise<number> =>
    (await pair.hasta.logged('Connected to the secondary')).length;
  const before = await connected();
  relay.cut();
  await eventually('another connection', async () => (await connected()) > before);
  await untilPaired({ primary: pair.hasta, standby: pair.hastb });
}

describe('who carries the data link', () => {
  it('sees neither a block nor a word of the protocol', async () => {
    await start();
    await writeMark();
    expect((await readFile(lab.places.hastb.disk('disk1'))).includes(MARK)).toBe(true);
    const seen = relay.passed;
    expect(seen.length).toBeGreaterThan(65536);
    expect([MARK, ...FIELDS].filter((text) => seen.includes(text))).toEqual([]);
  });

  it('sees everything where a person wrote insecure', async () => {
    await lab.edit(lab.hastateYaml, (text) => text.replace(/secret-file: .*/, 'insecure: true'));
    await start();
    await writeMark();
    const seen = relay.passed;
    expect([MARK, ...FIELDS].filter((text) => !seen.includes(text))).toEqual([]);
  });
});

describe('a secret is changed on both nodes, one after the other', () => {
  const OLD = '5e'.repeat(32);
  const NEW = 'c1'.repeat(32);
  const secretOf = (node: 'hasta' | 'hastb'): string => `${lab.secretFile}-${node}`;

  async function change(node: 'hasta' | 'hastb', ...secrets: string[]): Promise<void> {
    await writeFile(secretOf(node), `${secrets.join('\n')}\n`, { mode: 0o600 });
    await reload(node, 'the secrets in secret-file');
    await remake();
  }

  beforeEach(async () => {
    const yaml = { hasta: '', hastb: '' };
    for (const node of NODES) {
      await writeFile(secretOf(node), `${OLD}\n`, { mode: 0o600 });
      yaml[node] = `${lab.hastateYaml}-${node}`;
      await writeFile(
        yaml[node],
        (await readFile(lab.hastateYaml, 'utf8')).replace(lab.secretFile, secretOf(node)),
      );
    }
    await start(yaml);
  });

  it('without a restart and without one refusal, and the old one is worth nothing afterwards', async () => {
    for (const node of NODES) await change(node, OLD, NEW);
    for (const node of NODES) await change(node, NEW, OLD);
    for (const node of NODES) await change(node, NEW);
    for (const node of NODES) {
      expect(await pair[node].logged(/refused|does not prove/)).toEqual([]);
      expect(await pair[node].logged(new RegExp(`${OLD}|${NEW}`))).toEqual([]);
    }
    await writeFile(secretOf('hasta'), `${OLD}\n`, { mode: 0o600 });
    await pair.hasta.request('reload', {}, 20_000);
    relay.cut();
    await pair.hasta.until('refused', (status) =>
      (resourceOf(status, 'disk1').peerProblem ?? '').includes('knows the secret'),
    );
  });

  it('not while others may read the file, and what was in force stays', async () => {
    await writeFile(secretOf('hasta'), `${NEW}\n`);
    await chmod(secretOf('hasta'), 0o640);
    const result = (await pair.hasta.request('reload', {}, 20_000)) as ReloadResult;
    expect(result).toMatchObject({ accepted: false, applied: [] });
    expect(result.problems.join()).toContain(`has mode 0640 and not 0600; run 'chmod 0600`);
    await writeFile(secretOf('hastb'), 'short\n');
    const short = (await pair.hastb.request('reload', {}, 20_000)) as ReloadResult;
    expect(short).toMatchObject({ accepted: false, applied: [] });
    expect(short.problems.join()).toContain('has 5 bytes, at least 16 are needed');
    relay.cut();
    await untilPaired({ primary: pair.hasta, standby: pair.hastb });
  });
});

describe.skipIf(needs('openssl'))('two nodes with certificates', () => {
  type Authority = 'first' | 'second' | 'brief';
  const FILES = ['certificate', 'key', 'authority'] as const;
  const fileOf = (node: string, what: (typeof FILES)[number]): string =>
    join(lab.directory, `${node}-${what}`);

  async function give(node: 'hasta' | 'hastb', authority: Authority): Promise<void> {
    await copyFile(join(lab.directory, authority, `${node}.crt`), fileOf(node, 'certificate'));
    await copyFile(join(lab.directory, authority, `${node}.key`), fileOf(node, 'key'));
  }

  async function trust(node: 'hasta' | 'hastb', ...authorities: Authority[]): Promise<void> {
    const texts = authorities.map((one) => readFile(join(lab.directory, one, 'authority.crt'), 'utf8'));
    await writeFile(fileOf(node, 'authority'), (await Promise.all(texts)).join(''));
  }

  beforeEach(async () => {
    for (const authority of ['first', 'second'])
      await makeCertificates(join(lab.directory, authority), NODES);
    await makeCertificates(join(lab.directory, 'brief'), NODES, 5);
    for (const node of NODES) {
      await give(node, 'first');
      await trust(node, 'first');
    }
    const byNode = (what: (typeof FILES)[number]): string =>
      `  ${what}: { ${NODES.map((node) => `${node}: ${fileOf(node, what)}`).join(', ')} }`;
    const tls = ['tls:', ...FILES.map(byNode)].join('\n');
    await lab.edit(lab.hastateYaml, (text) => text.replace(/secret-file: .*/, tls));
  });

  it('hide all of it, and go over to another authority without a restart and without one refusal', async () => {
    await start();
    for (const node of NODES)
      expect(await pair[node].logged(/peer channel to \S+ is up \(TLSv1.3/)).toHaveLength(1);
    await writeMark();
    expect((await readFile(lab.places.hastb.disk('disk1'))).includes(MARK)).toBe(true);
    const seen = relay.passed;
    expect(seen.length).toBeGreaterThan(65536);
    expect([MARK, ...FIELDS, 'hastb'].filter((text) => seen.includes(text))).toEqual([]);

    const steps = [
      (node: 'hasta' | 'hastb') => trust(node, 'first', 'second'),
      (node: 'hasta' | 'hastb') => give(node, 'second'),
      (node: 'hasta' | 'hastb') => trust(node, 'second'),
    ];
    for (const step of steps) {
      await step('hasta');
      await reload('hasta', 'the certificates of tls');
      await remake();
      await step('hastb');
      await reload('hastb', 'the certificates of tls');
    }
    // The peer channel stood all the time: this one is made of what was read last.
    await pair.hastb.stop();
    pair.hastb = lab.daemon('hastb').start();
    await untilPaired({ primary: pair.hasta, standby: pair.hastb });
    const up = (): Promise<string[]> => pair.hasta.logged(/peer channel to \S+ is up \(TLSv1.3/);
    await eventually('the peer channel again', async () => (await up()).length === 2);
    for (const node of NODES) expect(await pair[node].logged(/refused|dropped a connection/)).toEqual([]);

    await copyFile(join(lab.directory, 'first', 'hasta.key'), fileOf('hasta', 'key'));
    const unfit = (await pair.hasta.request('reload', {}, 20_000)) as ReloadResult;
    expect(unfit).toMatchObject({ accepted: false, applied: [] });
    expect(unfit.problems.join()).toContain('does not fit the certificate');

    await give('hasta', 'brief');
    await trust('hasta', 'brief', 'second');
    await reload('hasta', 'the certificates of tls');
    const { warnings } = await pair.hasta.status();
    expect(warnings.filter((text) => text.includes('the certificate of this node'))).toEqual([
      expect.stringMatching(/expires in [45] days, on /),
    ]);

    await give('hasta', 'first');
    await trust('hasta', 'first', 'second');
    await pair.hasta.request('reload', {}, 20_000);
    relay.cut();
    for (const node of NODES)
      await pair[node].until('refused', (status) =>
        (resourceOf(status, 'disk1').peerProblem ?? '').includes('none of our authorities'),
      );
  });
});
