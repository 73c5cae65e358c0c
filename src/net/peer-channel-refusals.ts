/** Counts what was turned away, and says so: once per cause, then at most once a minute with the count. */
import { faultWords } from '../model/certificates.ts';
import type { NodeName } from '../model/roles.ts';
import type { PeerLog, RefusalCause } from './peer-channel-types.ts';

const QUIET_MS = 60_000;

const WORDS: Record<RefusalCause, string> = {
  'wrong-key':
    'its key is not ours: put the same secret-file on both nodes and reload the one that was changed',
  'unknown-identity':
    'it names itself as no node of ours: check the node names in hastate.yaml and hast.conf on both nodes',
  'own-address': 'it is ourselves: an address under `nodes:` for the other node belongs to this one',
  'not-tls':
    'it does not speak TLS: the other node has neither secret-file nor tls, or something else uses this port',
  'old-tls': 'it offers a TLS older than 1.3: both nodes must run hastate',
  'tls-failed':
    'the TLS handshake failed: put the same secret-file (or certificates of one authority) and node names on both nodes',
  'has-certificate':
    'it goes by certificates and this node by a secret-file: write the same in hastate.yaml of both nodes',
  'has-secret':
    'it goes by a secret-file and this node by certificates: write the same in hastate.yaml of both nodes',
  'speaks-tls':
    'it encrypts and this node is insecure: write the same secret-file or tls in hastate.yaml of both nodes',
  'certificate-absent': faultWords('absent'),
  'certificate-authority': faultWords('authority'),
  'certificate-expired': faultWords('expired'),
  'certificate-early': faultWords('early'),
  'certificate-name': faultWords('name'),
  'certificate-unfit': faultWords('unfit'),
  'own-certificate': 'it refuses the certificate of this node, and says of this node',
  'wrong-node': 'it says that it is another node than we expect there: check the addresses under `nodes:`',
  garbage: 'what it sent is no message of hastate: check that both nodes run the same version',
  'too-many': 'too many connections wait to be authenticated: restrict who can reach this port',
  'too-slow':
    'it did not authenticate itself in time: a firewall, a frozen node, or something else that uses this port',
};

export class Refusals {
  readonly #log: PeerLog;
  readonly #clock: { now(): number };
  readonly #peer: NodeName;
  readonly #seen = new Map<RefusalCause, { total: number; loggedAt: number; loggedTotal: number }>();

  constructor(peer: NodeName, log: PeerLog, clock: { now(): number }) {
    this.#peer = peer;
    this.#log = log;
    this.#clock = clock;
  }

  /**
   * @param who the other end, as `from host` or `to host:port`
   * @param detail what the other end said
   */
  count(cause: RefusalCause, who: string, detail = ''): void {
    const now = this.#clock.now();
    const seen = this.#seen.get(cause) ?? { total: 0, loggedAt: -Infinity, loggedTotal: 0 };
    this.#seen.set(cause, seen);
    seen.total += 1;
    if (now - seen.loggedAt < QUIET_MS) return;
    const more = seen.total - seen.loggedTotal - 1;
    seen.loggedAt = now;
    seen.loggedTotal = seen.total;
    const again = more > 0 ? ` (and ${more} more since the last line)` : '';
    this.#log(
      'warn',
      `peer channel with ${this.#peer}: dropped a connection ${who}: ${WORDS[cause]}${detail === '' ? '' : `: ${detail}`}${again}`,
    );
  }

  totals(): Partial<Record<RefusalCause, number>> {
    return Object.fromEntries([...this.#seen].map(([cause, { total }]) => [cause, total]));
  }
}
