/** The peer channel between two nodes with certificates, over real sockets. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { NodeCertificates } from '../../../src/model/certificates.ts';
import { certificateClient } from '../../../src/net/certificate-tls.ts';
import type { PeerChannelOptions, RefusalCause } from '../../../src/net/peer-channel-types.ts';
import { issue, makeCertificates, readCertificates } from '../../support/certificates.ts';
import { needs } from '../../support/needs.ts';
import {
  AS_HAST2,
  SECRET,
  closeAll,
  connectedPair,
  freeAddress,
  makeChannel,
} from './peer-channel-support.ts';
import type { TestChannel } from './peer-channel-support.ts';

describe.skipIf(needs('openssl'))('a peer channel with certificates', () => {
  let directory: string;
  const own = (name: string, authorities?: readonly string[]): Promise<NodeCertificates> =>
    readCertificates(directory, name, authorities);
  /** Of another authority, whose names are the same. */
  const foreign = (name: string, ...trusted: string[]): Promise<NodeCertificates> =>
    readCertificates(directory, `other/${name}`, trusted.length === 0 ? ['other/authority'] : trusted);
  const by = (certificates: NodeCertificates): Partial<PeerChannelOptions> => ({
    secret: null,
    certificates,
  });

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hastate-certificates-'));
    await makeCertificates(directory);
    await makeCertificates(join(directory, 'other'));
    await issue(directory, { name: 'old', subjectAltName: 'DNS:hast2', to: 2021 });
    await issue(directory, { name: 'early', subjectAltName: 'DNS:hast2', from: 2045 });
    await issue(directory, { name: 'hast3', subjectAltName: 'DNS:hast3' });
    await issue(directory, { name: 'uri', subjectAltName: 'URI:hastate:hast2' });
    await issue(directory, { name: 'hast2-in-cn-alone' });
    await issue(directory, {
      name: 'wildcard',
      subjectAltName: 'DNS:*,DNS:hast*,DNS:xhast2,DNS:hast2.example',
    });
    const extensions = ['extendedKeyUsage=serverAuth'];
    await issue(directory, { name: 'server', subjectAltName: 'DNS:hast2', extensions });
  });
  afterEach(closeAll);
  afterAll(() => rm(directory, { recursive: true }));

  async function counted({ channel, heard }: TestChannel, cause: RefusalCause): Promise<void> {
    await heard.some('log', () => (channel.status().refused[cause] ?? 0) > 0);
  }

  const linesOf = ({ heard }: TestChannel): string =>
    heard
      .of('log')
      .map(({ message }) => message)
      .join('\n');

  /** Both dial; neither may come up. */
  async function meet(
    second: Partial<PeerChannelOptions>,
    first?: Partial<PeerChannelOptions>,
  ): Promise<{ one: TestChannel; two: TestChannel }> {
    const [at1, at2] = await Promise.all([freeAddress('127.0.0.11'), freeAddress('127.0.0.12')]);
    const one = makeChannel(at1, [at2], first ?? by(await own('hast1')));
    const two = makeChannel(at2, [at1], { ...AS_HAST2, ...second });
    await Promise.all([one.channel.start(), two.channel.start()]);
    return { one, two };
  }

  function expectNeverUp(...channels: TestChannel[]): void {
    for (const { heard, channel } of channels) {
      expect(heard.of('up')).toEqual([]);
      expect(channel.status().up).toBe(false);
    }
  }

  it('comes up in both directions, by TLS 1.3', async () => {
    const { one, two } = await connectedPair(by(await own('hast1')), by(await own('hast2')));
    for (const { channel } of [one, two])
      expect(channel.status()).toMatchObject({
        up: true,
        refused: {},
        security: expect.stringMatching(/^TLSv1.3/) as unknown,
      });
  });

  it.each([
    ['expired', 'old', 'certificate-expired', 'has expired'],
    ['not valid yet', 'early', 'certificate-early', 'not valid yet'],
    ["another node's", 'hast3', 'certificate-name', 'subjectAltName DNS:NAME'],
    [
      "the node's by its common name alone",
      'hast2-in-cn-alone',
      'certificate-name',
      'subjectAltName DNS:NAME',
    ],
    ['of every name but the right one', 'wildcard', 'certificate-name', 'subjectAltName DNS:NAME'],
    ['for servers alone', 'server', 'certificate-unfit', 'clientAuth and serverAuth'],
  ] as const)('refuses a certificate that is %s, and both nodes say so', async (_, name, cause, words) => {
    const { one, two } = await meet(by(await own(name)));
    await counted(one, cause);
    await counted(two, 'own-certificate');
    expect(linesOf(one)).toContain(words);
    expect(linesOf(two)).toContain(`it refuses the certificate of this node, and says of this node: its`);
    expect(linesOf(two)).toContain(words);
    expectNeverUp(one, two);
  });

  it('refuses a certificate of another authority, though that one takes ours', async () => {
    const { one, two } = await meet(by(await foreign('hast2', 'authority', 'other/authority')));
    await counted(one, 'certificate-authority');
    await counted(two, 'own-certificate');
    expect(linesOf(one)).toContain('of none of our authorities');
    expectNeverUp(one, two);
  });

  it('and one of another authority refuse each other', async () => {
    const { one, two } = await meet(by(await foreign('hast2')));
    await Promise.all([counted(one, 'certificate-authority'), counted(two, 'certificate-authority')]);
    expectNeverUp(one, two);
  });

  it.each([
    ['both dial', {}, {}],
    ['the one with a secret dials', { addresses: [] }, {}],
    ['the one with certificates dials', {}, { addresses: [] }],
  ])(
    'and one with a secret refuse each other when %s, and both say what to write',
    async (_, first, second) => {
      const mine = { ...by(await own('hast1')), ...first };
      const { one, two } = await meet({ secret: SECRET, ...second }, mine);
      await Promise.all([counted(one, 'has-secret'), counted(two, 'has-certificate')]);
      for (const each of [one, two])
        expect(linesOf(each)).toContain('write the same in hastate.yaml of both nodes');
      expectNeverUp(one, two);
    },
  );

  it('and one in plaintext refuse each other, and both say what it is about', async () => {
    const { one, two } = await meet({ secret: null, insecure: true });
    await Promise.all([counted(one, 'not-tls'), counted(two, 'speaks-tls')]);
    expectNeverUp(one, two);
  });

  it('refuses itself, when an address of the other node is its own', async () => {
    const at = await freeAddress('127.0.0.11');
    const one = makeChannel(at, [at], by(await own('hast1')));
    await one.channel.start();
    await counted(one, 'own-address');
    expectNeverUp(one);
  });

  it('refuses a client without a certificate, an older TLS, and one that comes for something else', async () => {
    const at = await freeAddress('127.0.0.11');
    const one = makeChannel(at, [], by(await own('hast1')));
    await one.channel.start();
    const protocol = 'hastate/1 peer channel';
    const theirs = await own('hast2');
    const { cert: _cert, key: _key, ...nameless } = certificateClient(theirs, protocol);
    const clients = {
      nameless,
      old: {
        ...certificateClient(theirs, protocol),
        minVersion: 'TLSv1.2',
        maxVersion: 'TLSv1.2',
        ciphers: 'HIGH',
      },
      dataLink: certificateClient(theirs, 'hastate/1 link something'),
      nothing: { ...certificateClient(theirs, protocol), ALPNProtocols: [] },
    } as const;
    for (const options of Object.values(clients)) {
      const socket = connectTls({ ...at, ...options });
      socket.on('error', () => undefined).resume();
      await new Promise((resolve) => socket.once('close', resolve));
    }
    expect(one.channel.status().refused).toEqual({
      'certificate-absent': 1,
      'old-tls': 1,
      'tls-failed': 1,
      'certificate-unfit': 1,
    });
    expectNeverUp(one);
  });

  it('takes the name as a URI', async () => {
    await connectedPair(by(await own('hast1')), by(await own('uri')));
  });

  it('goes over to another authority node by node, and what stands stays up meanwhile', async () => {
    const both = ['authority', 'other/authority'];
    const { one, two, at1 } = await connectedPair(by(await own('hast1')), by(await own('hast2')));
    one.channel.rekey(await own('hast1', both));
    two.channel.rekey(await own('hast2', both));
    one.channel.rekey(await foreign('hast1', ...both));
    two.channel.rekey(await foreign('hast2', ...both));
    one.channel.rekey(await foreign('hast1'));
    two.channel.rekey(await foreign('hast2'));
    for (const { channel, heard } of [one, two]) {
      expect(channel.status()).toMatchObject({ up: true, refused: {} });
      expect(heard.of('down')).toEqual([]);
    }
    await two.channel.close();
    const life = { ...AS_HAST2, boot: '00000000000000cc' };
    const late = makeChannel(await freeAddress('127.0.0.13'), [at1], { ...life, ...by(await own('hast2')) });
    await late.channel.start();
    await counted(one, 'certificate-authority');
    expectNeverUp(late);
    late.channel.rekey(await foreign('hast2'));
    await late.heard.some('alive');
  });

  it('keeps what it has when the new files do not fit together', async () => {
    const { one } = await connectedPair(by(await own('hast1')), by(await own('hast2')));
    const mixed = { ...(await own('hast1')), key: (await own('hast2')).key };
    expect(() => one.channel.rekey(mixed)).toThrow('hastate check');
    expect(one.channel.status()).toMatchObject({ up: true });
  });
});
