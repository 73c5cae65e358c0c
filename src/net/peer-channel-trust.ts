/** How the other end of the peer channel is known: by a key of the pair's secret, or by its certificate. */
import type { ConnectionOptions, SecureContextOptions, TLSSocket, TlsOptions } from 'node:tls';
import type { CertificateFault, NodeCertificates } from '../model/certificates.ts';
import { encodePeerMessage } from '../protocol/peer-message.ts';
import type { RefusalCause } from './peer-channel-types.ts';

/** How long one that is turned away may take to hear why. */
const DISMISS_MS = 1_000;

/** Content of the secret file, or this node's certificates: what a reload brings. */
export type PeerCredentials = Buffer | NodeCertificates;

export interface Fault {
  readonly cause: RefusalCause;
  /** What the other end can be told of it, inside of TLS. */
  readonly tell: CertificateFault | null;
}

/** Of one channel. What it says changes with rekey(), for connections from then on. */
export interface PeerTrust {
  /** @param refuse called at most once for a socket, before its handshake fails or faultOf() is asked */
  server(refuse: (cause: RefusalCause, socket: TLSSocket) => void): TlsOptions;
  /** As much of server() as rekey() changes. */
  context(): SecureContextOptions;
  client(): ConnectionOptions;
  /** Of a finished handshake, in which we were that side; null: it is the peer. */
  faultOf(socket: TLSSocket, side: 'server' | 'client'): Fault | null;
  /** Of a failed one; null when the connection just went away. */
  causeOf(error: unknown): RefusalCause | null;
  /** @throws ConfigError; it stays as it was then */
  rekey(credentials: PeerCredentials): void;
}

/** Ends what is not the peer, in its own words where there are some. */
export function dismiss(socket: TLSSocket, tell: CertificateFault | null): void {
  if (tell === null) {
    socket.destroy();
    return;
  }
  socket.end(encodePeerMessage({ type: 'refused', fault: tell }));
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), DISMISS_MS);
  socket.once('close', () => clearTimeout(timer));
}
