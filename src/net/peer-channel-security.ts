/**
 * TLS 1.3 with a pre-shared key and an ephemeral key exchange, both ends authenticated by the key
 * alone: no certificates, nothing to negotiate down to. The client names itself in the PSK identity.
 * @see RFC 8446 2.2, 4.2.11; RFC 5869 (key derivation)
 */
import { hkdfSync } from 'node:crypto';
import type { ConnectionOptions, TLSSocket, TlsOptions } from 'node:tls';
import { ConfigError } from '../model/errors.ts';
import type { NodeName } from '../model/roles.ts';
import type { RefusalCause } from './peer-channel-types.ts';

const MIN_SECRET_BYTES = 16;

/** The suites that go with a SHA-256 key (RFC 8446 4.2.11). */
const TLS13 = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256',
} as const;

export const identityOf = (node: NodeName): string => `hastate/1 ${node}`;

/**
 * The channel's key for this pair of nodes, the same on both.
 * @param secret content of the secret file, byte for byte
 * @throws ConfigError `secret-too-short`
 */
export function derivePeerKey(secret: Buffer, self: NodeName, peer: NodeName): Buffer {
  if (secret.length < MIN_SECRET_BYTES) {
    throw new ConfigError(
      'secret-too-short',
      `the secret file has ${secret.length} bytes, at least ${MIN_SECRET_BYTES} are needed: ` +
        'make one with `head -c 32 /dev/urandom | base64` and copy it to both nodes',
    );
  }
  const info = JSON.stringify(['hastate/1', ...[self, peer].sort()]);
  return Buffer.from(hkdfSync('sha256', secret, 'hastate peer channel', info, 32));
}

/** @param accepted collects the sockets whose identity is the peer's */
export function serverOptions(
  key: Buffer,
  self: NodeName,
  peer: NodeName,
  accepted: WeakSet<TLSSocket>,
  refuse: (cause: RefusalCause, socket: TLSSocket) => void,
): TlsOptions {
  return {
    ...TLS13,
    pskCallback(socket, identity) {
      if (identity === identityOf(peer)) {
        accepted.add(socket);
        return key;
      }
      refuse(identity === identityOf(self) ? 'own-address' : 'unknown-identity', socket);
      return null;
    },
  };
}

export function clientOptions(key: Buffer, self: NodeName): ConnectionOptions {
  return {
    ...TLS13,
    pskCallback: () => ({ psk: key, identity: identityOf(self) }),
    // Asked only when a server came with a certificate instead of the key.
    checkServerIdentity: () => new Error('the server did not use the shared key'),
  };
}

/** Whether the shared key authenticated this session: TLS 1.3 counts a pre-shared key as resumption. */
export function usedKey(socket: TLSSocket): boolean {
  return socket.getProtocol() === 'TLSv1.3' && socket.isSessionReused();
}

/** What a failed handshake was about; null when the connection just went away. */
export function causeOfTlsError(error: unknown): RefusalCause | null {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (/BINDER|DECRYPT_ERROR|BAD_RECORD_MAC|DECRYPTION_FAILED|ILLEGAL_PARAMETER/.test(code))
    return 'wrong-key';
  if (
    /WRONG_VERSION_NUMBER|HTTP_REQUEST|HTTPS_PROXY|UNKNOWN_PROTOCOL|PACKET_LENGTH|RECORD_TOO|BAD_RECORD_TYPE/.test(
      code,
    )
  ) {
    return 'not-tls';
  }
  if (/UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION|VERSION_TOO_LOW/.test(code)) return 'old-tls';
  return code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS') ? 'tls-failed' : null;
}
