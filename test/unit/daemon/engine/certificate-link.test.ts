/** The data link between nodes with certificates: a listener, an engine's entrance and a connector, over real sockets. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { loadLibC } from '../../../../src/daemon/engine/native.ts';
import { splitSecrets } from '../../../../src/model/secrets.ts';
import { certificateClient } from '../../../../src/net/certificate-tls.ts';
import { FrameReader } from '../../../../src/protocol/hast-message.ts';
import { deriveLinkTls, linkCertificates } from '../../../../src/protocol/link-keys.ts';
import type { LinkCertificates, LinkTls } from '../../../../src/protocol/link-keys.ts';
import type { ConnectionPort } from '../../../../src/replication/ports.ts';
import { issue, makeCertificates, readCertificates } from '../../../support/certificates.ts';
import { needs } from '../../../support/needs.ts';
import { closeOpen, collected, expectBothDirections, FIRST, keep, Secondary } from './secondary-support.ts';
import type { Dup } from './secondary-support.ts';
import { until } from './tcp-pair.ts';

const ways: [string, Dup][] = [['relayed', null]];
const libc = loadLibC();
if (libc !== null) ways.push(['handed over as a descriptor', libc.dup]);

const keys = (self: string, peer: string): LinkTls =>
  deriveLinkTls(splitSecrets(Buffer.from('a secret of some length')), 'disk1', self, peer);

describe.skipIf(needs('openssl'))('with certificates', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hastate-certificates-'));
    await makeCertificates(directory, ['alpha', 'beta']);
    await makeCertificates(join(directory, 'other'), ['alpha', 'beta']);
    await issue(directory, { name: 'old-alpha', subjectAltName: 'DNS:alpha', to: 2021 });
    await issue(directory, { name: 'old-beta', subjectAltName: 'DNS:beta', to: 2021 });
    await issue(directory, { name: 'gamma', subjectAltName: 'DNS:gamma' });
  });
  afterEach(closeOpen);
  afterAll(() => rm(directory, { recursive: true }));

  interface Shown {
    /** Of the certificate; default: the node's own. */
    readonly file?: string;
    readonly authorities?: readonly string[];
    readonly resource?: string;
    readonly peer?: string;
  }

  async function access(self: string, shown: Shown = {}): Promise<LinkCertificates> {
    const {
      file = self,
      authorities,
      resource = 'disk1',
      peer = self === 'alpha' ? 'beta' : 'alpha',
    } = shown;
    return linkCertificates(await readCertificates(directory, file, authorities), resource, self, peer);
  }

  /** What is said on a connection that a secondary takes at first, and then refuses. */
  async function answerOn(connection: ConnectionPort): Promise<string | undefined> {
    const { ends } = collected(connection);
    const reader = new FrameReader({ maxNvBytes: 4096, maxDataBytes: 0 });
    let answer: string | undefined;
    connection.onData((chunk) => {
      for (const { nv } of reader.push(chunk)) answer = nv.string('errmsg');
    });
    connection.send(FIRST);
    await until(() => ends.length > 0 || answer !== undefined);
    return answer;
  }

  describe.each(ways)('a connection that is %s', (_way, dup) => {
    it('has its first frame read, and carries both directions byte for byte', async () => {
      const secondary = await Secondary.start(await access('beta'), dup);
      await expectBothDirections(await secondary.link(await access('alpha')));
    });

    it.each([
      ['has expired', { file: 'old-alpha' }, /has expired/],
      ["is another node's", { file: 'gamma' }, /not for the name of that node/],
      ["is the secondary's own", { file: 'beta' }, /not for the name of that node/],
      [
        'is of another authority',
        { file: 'other/alpha', authorities: ['authority', 'other/authority'] },
        /none of our authorities/,
      ],
    ] as const)(
      'is refused when its certificate %s, and the primary hears why',
      async (_what, shown, reason) => {
        const secondary = await Secondary.start(await access('beta'), dup);
        expect(await answerOn(await secondary.dial(await access('alpha', shown)))).toMatch(reason);
        expect(secondary.turnedAway).toEqual([expect.stringMatching(reason)]);
        expect(secondary.turnedAway[0]).toContain('the primary at 127.0.0.1 was refused: its certificate');
        expect(secondary.adopted).toEqual([]);
      },
    );

    it.each([
      ['has expired', { file: 'old-beta' }, /has expired/],
      ["is another node's", { file: 'gamma' }, /not for the name of that node/],
      ["is the primary's own", { file: 'alpha' }, /not for the name of that node/],
      [
        'is of another authority',
        { file: 'other/beta', authorities: ['authority', 'other/authority'] },
        /none of our authorities/,
      ],
    ] as const)(
      "is refused by the primary when the secondary's certificate %s, and that hears why",
      async (_what, shown, reason) => {
        const secondary = await Secondary.start(await access('beta', shown), dup);
        await expect(secondary.dial(await access('alpha'))).rejects.toMatchObject({
          code: 'peer-refused',
          message: expect.stringMatching(reason) as unknown,
        });
        await until(() => secondary.turnedAway.length > 0);
        expect(secondary.turnedAway).toEqual([expect.stringMatching(reason)]);
        expect(secondary.turnedAway[0]).toContain('the primary at 127.0.0.1 refused this node');
        expect(secondary.adopted).toEqual([]);
      },
    );
  });

  it('two nodes of different authorities refuse each other', async () => {
    const secondary = await Secondary.start(await access('beta'));
    const shown = { file: 'other/alpha', authorities: ['other/authority'] };
    await expect(secondary.dial(await access('alpha', shown))).rejects.toThrow('none of our authorities');
    await until(() => secondary.turnedAway.length > 0);
    expect(secondary.turnedAway).toEqual([expect.stringContaining('none of our authorities')]);
  });

  it.each([
    ['another resource', { resource: 'disk2' }],
    ['another pair of nodes', { peer: 'gamma' }],
  ])('a connection for %s finds nothing, and the primary says so', async (_what, shown) => {
    const secondary = await Secondary.start(await access('beta'));
    await expect(secondary.dial(await access('alpha', shown))).rejects.toMatchObject({
      code: 'peer-refused',
      message: expect.stringContaining('not configured') as unknown,
    });
    expect(secondary.refused).toEqual([expect.stringContaining('not configured')]);
  });

  it('an engine does not take a connection that its node handed over for another resource', async () => {
    // As a listener with a fault would: it knows disk1 alone, and gives it to the engine of disk2.
    const secondary = await Secondary.start(await access('beta', { resource: 'disk2' }));
    await expect(secondary.dial(await access('alpha'))).rejects.toMatchObject({ code: 'peer-refused' });
    await until(() => secondary.turnedAway.length > 0);
    expect(secondary.adopted).toEqual([]);
  });

  it('a node with certificates and one with a secret refuse each other, whoever dials, and both say why', async () => {
    const byKey = await Secondary.start(keys('beta', 'alpha'));
    const theirs = /secret-file and this node certificates/;
    const ours = /certificates and this node a secret-file/;
    await expect(byKey.dial(await access('alpha'))).rejects.toThrow(theirs);
    const byCertificate = await Secondary.start(await access('beta'));
    await expect(byCertificate.dial(keys('alpha', 'beta'))).rejects.toThrow(ours);
    await until(() => byKey.turnedAway.length + byCertificate.turnedAway.length === 2);
    expect(byKey.turnedAway).toEqual([expect.stringMatching(ours)]);
    expect(byCertificate.turnedAway).toEqual([expect.stringMatching(theirs)]);
    expect([...byKey.adopted, ...byCertificate.adopted]).toEqual([]);
  });

  it('a node with certificates takes no plaintext, and one without takes no TLS', async () => {
    const secondary = await Secondary.start(await access('beta'));
    expect(await answerOn(await secondary.dial(null))).toContain('does not encrypt the data link');
    const plain = await Secondary.start(null);
    await expect(plain.dial(await access('alpha'))).rejects.toThrow('takes no TLS');
    await until(() => plain.turnedAway.length === 1);
    expect([...secondary.adopted, ...plain.adopted]).toEqual([]);
  });

  it('a client without a certificate is refused, and one with TLS 1.2', async () => {
    const secondary = await Secondary.start(await access('beta'));
    const { certificates, offered } = await access('alpha');
    const { cert: _cert, key: _key, ...nameless } = certificateClient(certificates, offered);
    const old = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: 'HIGH' } as const;
    for (const options of [nameless, { ...certificateClient(certificates, offered), ...old }]) {
      const socket = connectTls({ port: secondary.port, host: '127.0.0.1', ...options });
      socket.on('error', () => undefined).resume();
      await new Promise((resolve) => socket.once('close', resolve));
    }
    await until(() => secondary.turnedAway.length === 2);
    expect(secondary.turnedAway[0]).toContain('it shows no certificate');
    expect(secondary.adopted).toEqual([]);
  });

  it('who stays silent in a handshake makes room for the peer', async () => {
    const secondary = await Secondary.start(await access('beta'));
    const { certificates, offered } = await access('alpha');
    const silent = Array.from({ length: 9 }, () => {
      const socket = connectTls({
        port: secondary.port,
        host: '127.0.0.1',
        ...certificateClient(certificates, offered),
      });
      keep({ close: () => socket.destroy() });
      socket.on('error', () => undefined).resume();
      return once(socket, 'close');
    });
    await Promise.race(silent);
    await secondary.link(await access('alpha'));
    expect(secondary.adopted).toHaveLength(1);
  });
});
