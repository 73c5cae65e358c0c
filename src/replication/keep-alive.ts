/** Notices a peer that died without traffic (hast.md 13.8). */
import { HAST_CMD } from '../protocol/hast-message.ts';
import { KEEPALIVE_MS, silenceMs } from './core.ts';
import type { EngineCore } from './core.ts';
import type { Heartbeat } from './heartbeat.ts';
import type { Asker, Link } from './link.ts';

const WATCH_HASTD_MS = 1000;

/** Asks only to see whether there is an answer. */
const NOBODY: Asker = { received: () => undefined, answered: () => undefined, lost: () => undefined };

/** Closes the link of a peer that owes an answer for the resource's timeout, or that is silent. Ends with the link. */
export function keepAlive(core: EngineCore, link: Link, heartbeat: Heartbeat | null): void {
  const { clock } = core.ports;
  const watch = (): void => {
    const { timeoutMs } = core.setup.resource;
    if (link.stalledFor(clock.now()) > timeoutMs) link.close(`the peer answered nothing for ${timeoutMs} ms`);
  };
  if (link.words === null) watchHastd(core, link, watch);
  else {
    const limit = silenceMs(core.setup.timing);
    heartbeat?.start(() => {
      watch();
      if (link.silentFor(clock.now()) <= limit) return;
      void link.drain().then(() => {
        const silent = link.silentFor(clock.now());
        if (silent > limit) link.close(`the peer sent nothing for ${Math.round(silent)} ms`);
      });
    });
  }
}

function watchHastd(core: EngineCore, link: Link, watch: () => void): void {
  const { clock, disk } = core.ports;
  const tick = (): void => {
    if (!link.isUp()) return;
    watch();
    // Unlike hastd's keepalive it is answered, so that a peer which is gone shows.
    if (link.idleFor(clock.now()) >= KEEPALIVE_MS)
      link.request(HAST_CMD.READ, 0, disk.sectorBytes, null, false, NOBODY);
    clock.after(WATCH_HASTD_MS, tick);
  };
  tick();
}
