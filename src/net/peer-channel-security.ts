/**
 * Who is at the other end of the peer channel: the keys of a pair of nodes, from its secrets. The client names
 * itself in the PSK identity, and which of the secrets it has.
 * @see RFC 5869 (key derivation)
 */
import { hkdfSync } from 'node:crypto';
import type { ConnectionOptions, SecureContextOptions, TLSSocket, TlsOptions } from 'node:tls';
import type { NodeName } from '../model/roles.ts';
import { splitSecrets } from '../model/secrets.ts';
import { keyNumber } from '../protocol/link-keys.ts';
import type { Fault, PeerCredentials, PeerTrust } from './peer-channel-trust.ts';
import type { RefusalCause } from './peer-channel-types.ts';
import { causeOfTlsError, nobodysKey, pskClient, TLS13, usedKey } from './psk-tls.ts';

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

export class SecretTrust implements PeerTrust {
  readonly #self: NodeName;
  readonly #peer: NodeName;
  /** The sockets whose identity is the peer's. */
  readonly #named = new WeakSet<TLSSocket>();
  #keys: PeerKeys;

  /** @throws ConfigError as splitSecrets() */
  constructor(content: Buffer, self: NodeName, peer: NodeName) {
    this.#self = self;
    this.#peer = peer;
    this.#keys = derivePeerKeys(content, self, peer);
  }

  server(refuse: (cause: RefusalCause, socket: TLSSocket) => void): TlsOptions {
    return {
      ...TLS13,
      pskCallback: (socket, identity) => {
        const key = this.#keys.find((each) => identity === identityOf(this.#peer, each));
        if (key !== undefined) {
          this.#named.add(socket);
          return key;
        }
        const name = identity.slice(0, identity.lastIndexOf(' '));
        if (name === nameOf(this.#peer)) return nobodysKey();
        refuse(name === nameOf(this.#self) ? 'own-address' : 'unknown-identity', socket);
        return null;
      },
    };
  }

  context(): SecureContextOptions {
    return TLS13;
  }

  client(): ConnectionOptions {
    const [key] = this.#keys;
    return pskClient(key, identityOf(this.#self, key));
  }

  faultOf(socket: TLSSocket, side: 'server' | 'client'): Fault | null {
    const named = side === 'client' || this.#named.has(socket);
    return named && usedKey(socket) ? null : { cause: 'tls-failed', tell: null };
  }

  causeOf(error: unknown): RefusalCause | null {
    return causeOfTlsError(error);
  }

  rekey(credentials: PeerCredentials): void {
    if (Buffer.isBuffer(credentials)) this.#keys = derivePeerKeys(credentials, this.#self, this.#peer);
  }
}
