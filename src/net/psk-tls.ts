/**
 * TLS 1.3 with a pre-shared key and an ephemeral key exchange, both ends authenticated by the key alone: no
 * certificates, nothing to negotiate down to.
 * @see RFC 8446 2.2, 4.2.11
 */
import { randomBytes } from 'node:crypto';
import type { ConnectionOptions, TLSSocket } from 'node:tls';

/** The suites that go with a SHA-256 key (RFC 8446 4.2.11). */
export const TLS13 = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256',
} as const;

/** @param identity printable, at most 128 bytes */
export function pskClient(psk: Uint8Array, identity: string): ConnectionOptions {
  return {
    ...TLS13,
    pskCallback: () => ({ psk, identity }),
    // Asked only when a server came with a certificate instead of the key, and one that the world trusts.
    checkServerIdentity: () =>
      Object.assign(new Error('the server did not use the shared key'), { code: 'CERT_INSTEAD_OF_KEY' }),
  };
}

/**
 * What a server answers to a name that it knows with a key that it does not: the handshake fails as it does with a
 * wrong key, which both ends then say, and not as with a wrong name.
 */
export function nobodysKey(): Buffer {
  return randomBytes(32);
}

/** Whether the shared key authenticated this session: TLS 1.3 counts a pre-shared key as resumption. */
export function usedKey(socket: TLSSocket): boolean {
  return socket.getProtocol() === 'TLSv1.3' && socket.isSessionReused();
}

export type TlsFault = 'wrong-key' | 'not-tls' | 'old-tls' | 'tls-failed' | 'has-certificate' | 'has-secret';

/** What a failed handshake was about, at an end that has a key; null when the connection just went away. */
export function causeOfTlsError(error: unknown): TlsFault | null {
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
  // Of a server's certificate, which nobody asked for; of a client that offers no key.
  if (/^CERT_|SELF_SIGNED_CERT|^UNABLE_TO_|NO_SUITABLE_SIGNATURE_ALGORITHM|NO_SHARED_CIPHER/.test(code))
    return 'has-certificate';
  if (/UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION|VERSION_TOO_LOW/.test(code)) return 'old-tls';
  return code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS') ? 'tls-failed' : null;
}
