/**
 * Keys for TLS 1.3 on the data link, from the pair's secret. A key is good for one resource of one pair of nodes;
 * its name, the PSK identity, tells nobody which, and can be found again by who knows all of them.
 * @see SAFETY E3, RFC 8446 4.2.11, RFC 5869
 */
import { createHash, hkdfSync } from 'node:crypto';
import type { NodeCertificates } from '../model/certificates.ts';

const KEY_BYTES = 32;
const NAME_BYTES = 24;

/** Who dials whom for what: nothing of it is secret. */
export interface LinkWay {
  readonly resource: string;
  /** The primary. */
  readonly from: string;
  readonly to: string;
}

export interface PskKey {
  /** Printable, at most 128 bytes. */
  readonly identity: string;
  readonly psk: Uint8Array;
}

/** What one node needs for one resource. */
export interface LinkTls {
  /** As primary. */
  readonly offered: PskKey;
  /** As secondary. */
  readonly accepted: readonly PskKey[];
}

/** What one node needs for one resource where the nodes have certificates. Its ways are named by ALPN. */
export interface LinkCertificates {
  readonly certificates: NodeCertificates;
  /** Whose certificate the other end has to show. */
  readonly peer: string;
  /** As primary: nameOfWay() of it. */
  readonly offered: string;
  /** As secondary. */
  readonly accepted: string;
}

/** How one resource's data link is encrypted. */
export type LinkAccess = LinkTls | LinkCertificates;

export function byCertificate(access: LinkAccess): access is LinkCertificates {
  return 'certificates' in access;
}

/** What the identities of all keys of this way begin with, and the whole name of its protocol for ALPN. */
export function nameOfWay({ resource, from, to }: LinkWay): string {
  const digest = createHash('sha256').update(JSON.stringify(['hastate/1 link', resource, from, to]));
  return `hastate/1 link ${digest.digest().subarray(0, NAME_BYTES).toString('base64url')}`;
}

export function deriveLinkTls(
  secrets: readonly [Buffer, ...Buffer[]],
  resource: string,
  self: string,
  peer: string,
): LinkTls {
  const there: LinkWay = { resource, from: self, to: peer };
  const here: LinkWay = { resource, from: peer, to: self };
  return {
    offered: keyOf(secrets[0], there),
    accepted: secrets.map((secret) => keyOf(secret, here)),
  };
}

export function linkCertificates(
  certificates: NodeCertificates,
  resource: string,
  self: string,
  peer: string,
): LinkCertificates {
  return {
    certificates,
    peer,
    offered: nameOfWay({ resource, from: self, to: peer }),
    accepted: nameOfWay({ resource, from: peer, to: self }),
  };
}

/** Tells the keys of several secrets apart. It says as much about the secret as a handshake with the key does. */
export function keyNumber(psk: Uint8Array): string {
  return Buffer.from(hkdfSync('sha256', psk, 'hastate key number', '', 6)).toString('base64url');
}

function keyOf(secret: Buffer, way: LinkWay): PskKey {
  const info = JSON.stringify(['hastate/1', way.resource, way.from, way.to]);
  const psk = new Uint8Array(hkdfSync('sha256', secret, 'hastate data link TLS', info, KEY_BYTES));
  return { identity: `${nameOfWay(way)} ${keyNumber(psk)}`, psk };
}
