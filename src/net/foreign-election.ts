/** What elects the holder of an address where we do not: the kernel, keepalived. One interface for all of them. */
import type { CarpState } from '../model/roles.ts';

export interface StateNews {
  readonly from: CarpState;
  readonly to: CarpState;
  readonly reason: string;
}

export interface ForeignElection {
  readonly kind: 'kernel-carp' | 'keepalived';
  state(): CarpState;
  /**
   * Makes this node the last choice, or no longer: it holds itself back until its services run (SAFETY C4).
   * @throws NetError of the driver
   */
  holdBack(on: boolean): Promise<void>;
  /** Gives the address to another node at once, where there is one; holdBack(true) comes first. */
  handOver(): Promise<void>;
  /** What is wrong without being an error, for status; null when nothing is. */
  trouble(): string | null;
  counters(): Record<string, number>;
  /** Commands that take the address away from this node without this process; safe to repeat. */
  cleanupActions(): string[][];
  /** Leaves the node held back. */
  close(): Promise<void>;
}
