/**
 * Who is at the other end of the peer channel: the keys of a pair of nodes, from its secrets. The client names
 * itself in the PSK identity, and which of the secrets it has.
 * @see RFC 5869 (key derivation)
 */
import { hkdfSync } from 'node:crypto';
import type { ConnectionOptions, TLSSocket, TlsOptions } from 'node:tls';
import type { NodeName } from '../model/roles.ts';
import { splitSecrets } from '../model/secrets.ts';
import { keyNumber } from '../protocol/link-keys.ts';
import type { RefusalCause } from './peer-channel-types.ts';
import { nobodysKey, pskClient, TLS13 } from './psk-tls.ts';

/** Of one pair of nodes, the same on both; the first is the one that this node offers. */
export type PeerKeys = readonly [Buffer, ...Buffer[]];

const nameOf = (node: NodeName): string => `hastate/1 ${node}`;

export const identityOf = (node: NodeName, key: Buffer): string => `${nameOf(node)} ${keyNumber(key)}`;

/**
 * @param content of the secret file, byte for byte
 * @throws ConfigError as splitSecrets()
 */
export function derivePeerKeys(content: Buffer, self: NodeName, peer: NodeName): PeerKeys {
  const [first, ...others] = splitSecrets(content);
  return [keyOf(first, self, peer), ...others.map((secret) => keyOf(secret, self, peer))];
}

function keyOf(secret: Buffer, self: NodeName, peer: NodeName): Buffer {
  const info = JSON.stringify(['hastate/1', ...[self, peer].sort()]);
  return Buffer.from(hkdfSync('sha256', secret, 'hastate peer channel', info, 32));
}

/**
 * @param keys asked for each connection
 * @param accepted collects the sockets whose identity is the peer's
 */
export function serverOptions(
  keys: () => PeerKeys,
  self: NodeName,
  peer: NodeName,
  accepted: WeakSet<TLSSocket>,
  refuse: (cause: RefusalCause, socket: TLSSocket) => void,
): TlsOptions {
  return {
    ...TLS13,
    pskCallback(socket, identity) {
      const key = keys().find((each) => identity === identityOf(peer, each));
      if (key !== undefined) {
        accepted.add(socket);
        return key;
      }
      const name = identity.slice(0, identity.lastIndexOf(' '));
      if (name === nameOf(peer)) return nobodysKey();
      refuse(name === nameOf(self) ? 'own-address' : 'unknown-identity', socket);
      return null;
    },
  };
}

export function clientOptions([key]: PeerKeys, self: NodeName): ConnectionOptions {
  return pskClient(key, identityOf(self, key));
}
