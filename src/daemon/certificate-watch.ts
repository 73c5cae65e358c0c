/** Says in status, and once a day in the log, which certificate of `tls` ends soon. */
import { expiryWarnings } from '../config/certificates.ts';
import type { Runtime } from './runtime.ts';
import type { StatusWarnings } from './status-warnings.ts';

const LOOK_MS = 3_600_000;

export class CertificateWatch {
  readonly #runtime: Pick<Runtime, 'certificates' | 'log'>;
  readonly #warnings: StatusWarnings;
  readonly #now: () => number;
  #said: readonly string[] = [];
  #timer: NodeJS.Timeout | null = null;

  /** @param now ms since 1970 */
  constructor(
    runtime: Pick<Runtime, 'certificates' | 'log'>,
    warnings: StatusWarnings,
    now: () => number = () => Date.now(),
  ) {
    this.#runtime = runtime;
    this.#warnings = warnings;
    this.#now = now;
  }

  start(): void {
    this.look();
    this.#timer = setInterval(() => this.tick(), LOOK_MS);
    this.#timer.unref();
  }

  /** Behind whoever has read the files, and has said what is wrong with them. */
  look(): void {
    const { certificates } = this.#runtime;
    this.#said = certificates === null ? [] : expiryWarnings(certificates, this.#now());
    this.#warnings.set('certificates', this.#said);
  }

  /** As time goes by. The days that are left are in the text: it is another one every day. */
  tick(): void {
    const before = this.#said;
    this.look();
    for (const text of this.#said) if (!before.includes(text)) this.#runtime.log('warn', text);
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }
}
