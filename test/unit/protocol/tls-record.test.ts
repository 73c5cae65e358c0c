import { connect } from 'node:tls';
import { Duplex } from 'node:stream';
import { beforeAll, describe, expect, it } from 'vitest';
import { WireError } from '../../../src/model/errors.ts';
import { clientNamesOf, fatalAlert } from '../../../src/protocol/tls-record.ts';
import { pskClient, TLS13 } from '../../../src/net/psk-tls.ts';
import { nameOfWay } from '../../../src/protocol/link-keys.ts';

/** What OpenSSL says first. */
function helloOf(options: object): Promise<Buffer> {
  return new Promise((resolve) => {
    const wire = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        resolve(chunk);
        done();
      },
    });
    connect({ socket: wire, ...options }).on('error', () => undefined);
  });
}

let hello: Buffer;
beforeAll(async () => {
  hello = await helloOf(pskClient(Buffer.alloc(32, 1), 'a name of a key'));
});

describe('what a ClientHello names', () => {
  it('is found, also with what follows in the same piece', () => {
    expect(clientNamesOf(hello)).toEqual({ identity: 'a name of a key', protocol: null });
    expect(clientNamesOf(Buffer.concat([hello, hello]))?.identity).toBe('a name of a key');
  });

  it('is waited for until all of the record is there', () => {
    for (let length = 0; length < hello.length; length++)
      expect(clientNamesOf(hello.subarray(0, length))).toBeUndefined();
  });

  it('is null when it has none, as of a browser', async () => {
    expect(clientNamesOf(await helloOf(TLS13))).toEqual({ identity: null, protocol: null });
  });

  it('is a protocol where the nodes have certificates, with or without a key', async () => {
    const ALPNProtocols = [nameOfWay({ resource: 'disk1', from: 'a', to: 'b' }), 'another'];
    const plain = await helloOf({ ...TLS13, ALPNProtocols });
    expect(clientNamesOf(plain)).toEqual({ identity: null, protocol: ALPNProtocols[0] });
    const both = await helloOf({ ...pskClient(Buffer.alloc(32, 1), 'a key'), ALPNProtocols });
    expect(clientNamesOf(both)).toEqual({ identity: 'a key', protocol: ALPNProtocols[0] });
  });

  it('is never more than an error, whatever byte is another', () => {
    for (let at = 0; at < hello.length; at++) {
      for (const value of [0, 1, 0x7f, 0xff]) {
        const changed = Buffer.from(hello);
        changed[at] = value;
        try {
          clientNamesOf(changed);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }
    }
  });
});

it('an alert is a record of TLS', () => {
  expect(fatalAlert(40).toString('hex')).toBe('15030300020228');
});

it('the name of a way is another for every resource, node and direction', () => {
  const ways = [
    { resource: 'disk1', from: 'a', to: 'b' },
    { resource: 'disk1', from: 'b', to: 'a' },
    { resource: 'disk2', from: 'a', to: 'b' },
    { resource: 'disk1', from: 'a', to: 'c' },
    { resource: 'disk1","a', from: 'b', to: '' },
  ];
  expect(new Set(ways.map(nameOfWay)).size).toBe(ways.length);
  expect(ways.map(nameOfWay).join()).not.toContain('disk');
});
