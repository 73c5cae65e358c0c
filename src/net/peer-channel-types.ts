/** What the peer channel takes and tells. Times are ms on the clock that is given. */
import type { CertificateFault, NodeCertificates } from '../model/certificates.ts';
import type { NodeName } from '../model/roles.ts';
import type { PeerAddress } from '../model/settings.ts';
import type { HeartbeatBody, PeerHeartbeat, PeerMethod } from '../protocol/peer-message.ts';
import type { PeerCredentials } from './peer-channel-trust.ts';

export type PeerLog = (level: 'error' | 'warn' | 'info' | 'debug', message: string) => void;

/** All are called in the order of what happened, and never after close() was called. */
export interface PeerChannelCallbacks {
  /** Every valid message of the peer's current boot; with its content when it is a heartbeat. */
  onHeard(at: number, heartbeat: PeerHeartbeat | null): void;
  /** The peer echoed what we sent at `aliveAt`: it was alive and heard us then (SAFETY A4). Rising only. */
  onAlive(aliveAt: number): void;
  /** The peer's daemon is another life than before; also the first time that it is met. */
  onBoot(boot: string): void;
  /** The first authenticated connection is there. */
  onUp(): void;
  /** The last authenticated connection is gone. */
  onDown(reason: string): void;
  /** The peer stops on purpose. */
  onGoodbye(at: number): void;
  /**
   * SAFETY B6: the last connection of the peer's current boot was ended by FIN or RST without a
   * goodbye, then its host refused a new connection, and nothing was heard since. Once per life.
   */
  onCertainDeath(at: number): void;
}

export type PeerRequestHandler = (
  method: PeerMethod,
  params: Readonly<Record<string, unknown>>,
) => Promise<unknown>;

export interface PeerChannelOptions {
  readonly self: NodeName;
  readonly peer: NodeName;
  /** Random per daemon start, 16 hex digits. */
  readonly boot: string;
  /** Where the peer listens. One connection is kept to each: a network may fail. */
  readonly addresses: readonly PeerAddress[];
  readonly listen: readonly PeerAddress[];
  /** Content of the secret file (splitSecrets). With a secret the channel is always TLS 1.3. */
  readonly secret: Buffer | null;
  /** In place of a secret, and as strict. */
  readonly certificates?: NodeCertificates | null;
  /** Allows plaintext when there is neither. */
  readonly insecure: boolean;
  readonly clock: { now(): number };
  readonly heartbeatMs: number;
  composeHeartbeat(): HeartbeatBody;
  readonly log: PeerLog;
  readonly callbacks: Partial<PeerChannelCallbacks>;
  readonly version?: string;
  /** timingDigest() of the settings: a difference to the peer's is warned about. */
  readonly timing?: string;
}

/** Why a connection was turned away. */
export type RefusalCause =
  | 'wrong-key'
  | 'unknown-identity'
  | 'own-address'
  | 'not-tls'
  | 'old-tls'
  | 'tls-failed'
  /** The other end goes by the other one of the two ways to be known. */
  | 'has-certificate'
  | 'has-secret'
  /** TLS, where this node wants plaintext. */
  | 'speaks-tls'
  /** Of the other end, as we see it. */
  | `certificate-${CertificateFault}`
  /** Ours, as the other end sees it. */
  | 'own-certificate'
  | 'wrong-node'
  | 'garbage'
  | 'too-many'
  | 'too-slow';

export interface PeerChannelStatus {
  readonly up: boolean;
  readonly connections: number;
  readonly boot: string | null;
  /** e.g. `TLSv1.3 TLS_AES_128_GCM_SHA256`, `plaintext`, or null while down. */
  readonly security: string | null;
  readonly refused: Readonly<Partial<Record<RefusalCause, number>>>;
}

export interface PeerChannel {
  /**
   * Listens and begins to connect. An address that is not on this machine yet is tried again.
   * @throws NetError `peer-listen` when an address is taken or forbidden
   */
  start(): Promise<void>;
  /** Says goodbye, ends every connection and stops listening; at most one second. Idempotent. */
  close(): Promise<void>;
  /**
   * @throws NetError `peer-not-connected` (not sent), `peer-busy` (not sent), `peer-lost` and
   * `peer-timeout` (sent; whether it was done is unknown), `peer-refused` (its answer is an error)
   */
  request(method: PeerMethod, params: Readonly<Record<string, unknown>>, timeoutMs: number): Promise<unknown>;
  /**
   * Other secrets or certificates, in place of those of the same kind, for connections from now on; those that
   * stand stay.
   * @throws ConfigError; what was in force stays then
   */
  rekey(credentials: PeerCredentials): void;
  /** Who answers the peer's requests. A HastateError that it rejects with is answered with its code. */
  onRequest(handler: PeerRequestHandler): void;
  status(): PeerChannelStatus;
}
