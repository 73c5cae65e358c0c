/** The devices of this node's primaries, what an earlier life left of them, and what the keeper would undo. */
import { DiskError, describeError } from '../../model/errors.ts';
import type { GroupSettings } from '../../model/settings.ts';
import type { CleanupAction } from '../../device/cleanup.ts';
import { createDeviceDriver } from '../../device/create-driver.ts';
import type { DeviceDriver } from '../../device/attach.ts';
import { epochExportName } from '../../device/nbd-handshake.ts';
import type { Runtime } from '../runtime.ts';
import { all } from './actors.ts';
import type { Member } from './members.ts';

const ATTACH_MS = 15_000;
const DETACH_MS = 30_000;

export class Devices {
  readonly #runtime: Runtime;
  readonly #drivers = new Map<GroupSettings['device'], Promise<DeviceDriver>>();
  readonly #attached = new Map<string, { path: string | null; cleanup: readonly CleanupAction[] }>();
  /** D1: what could not be removed, by resource. */
  readonly #inTheWay = new Map<string, string>();
  /** Why left-overs could not be looked for, or null. */
  #unknown: string | null = null;
  readonly #changed: () => void;

  constructor(runtime: Runtime, changed: () => void) {
    this.#runtime = runtime;
    this.#changed = changed;
  }

  #driver(kind: GroupSettings['device']): Promise<DeviceDriver> {
    let driver = this.#drivers.get(kind);
    if (driver === undefined) {
      driver = createDeviceDriver(kind, { stateDir: this.#runtime.stateDir });
      this.#drivers.set(kind, driver);
    }
    return driver;
  }

  /** `auto` attaches only what some hook of the group can use. */
  #kind(group: GroupSettings): GroupSettings['device'] {
    return group.device === 'auto' && Object.keys(group.hooks).length === 0 ? 'none' : group.device;
  }

  /** D1: detaches what an earlier life left. What resists, or cannot be told, becomes an obstacle, not an error. */
  async cleanUp(): Promise<void> {
    const driver = await this.#driver('auto');
    let found: Awaited<ReturnType<DeviceDriver['leftovers']>>;
    try {
      found = await driver.leftovers();
      this.#unknown = null;
    } catch (error) {
      this.#unknown = `what an earlier life left on this machine cannot be found out: ${describeError(error)}; restart hastated when that is mended`;
      this.#runtime.journal.add({ kind: 'device.in-the-way', level: 'error', message: this.#unknown });
      return;
    }
    for (const { resource, kind, what } of found) {
      this.#runtime.journal.add({
        kind: 'device.leftover',
        level: 'warn',
        resource,
        message: `${resource}: an earlier life left ${kind} ${what}; detaching it`,
      });
      await this.#detachWith(driver, resource);
    }
  }

  async #detachWith(driver: DeviceDriver, resource: string): Promise<void> {
    try {
      const trouble = await driver.detach(resource, AbortSignal.timeout(DETACH_MS));
      if (trouble.length > 0) this.#sayForced(resource, trouble);
      this.#inTheWay.delete(resource);
    } catch (error) {
      this.#inTheWay.set(resource, describeError(error));
      this.#runtime.journal.add({
        kind: 'device.in-the-way',
        level: 'error',
        resource,
        message: describeError(error),
      });
    }
  }

  #sayForced(resource: string, trouble: readonly string[]): void {
    this.#runtime.journal.add({
      kind: 'device.forced',
      level: 'warn',
      resource,
      message: `${resource}: its device did not go by itself and was taken away by force: ${trouble.join('; ')}`,
    });
  }

  obstacles(resources: readonly string[]): string[] {
    const unknown = this.#unknown === null ? [] : [this.#unknown];
    const known = resources.flatMap((resource) => {
      const what = this.#inTheWay.get(resource);
      return what === undefined ? [] : [`${resource}: ${what}`];
    });
    return [...unknown, ...known];
  }

  async attach(group: GroupSettings, members: readonly Member[]): Promise<void> {
    const driver = await this.#driver(this.#kind(group));
    // Each waits for programs of its own: a pool's disks come and go together. ggatec's would choose the same unit.
    if (driver.kind === 'ggatec') for (const member of members) await this.#attachOne(driver, group, member);
    else await all(members.map((member) => this.#attachOne(driver, group, member)));
    this.#changed();
  }

  async #attachOne(
    driver: DeviceDriver,
    group: GroupSettings,
    { settings, snapshot }: Member,
  ): Promise<void> {
    const offered = snapshot?.export ?? null;
    if (snapshot === null || offered === null) {
      throw new DiskError(
        'no-export',
        `${settings.name} is primary without an export: see the engine's last error`,
      );
    }
    const attached = await driver.attach(
      {
        resource: settings.name,
        socketPath: offered.socket,
        exportName: epochExportName(settings.name, snapshot.record.epoch),
        deviceName: settings.provname,
        ...(offered.sectorBytes === undefined ? {} : { sectorBytes: offered.sectorBytes }),
        ...(offered.ggate === undefined ? {} : { ggate: offered.ggate }),
      },
      AbortSignal.timeout(ATTACH_MS),
    );
    this.#attached.set(settings.name, attached);
    if (attached.path === null) return;
    this.#runtime.journal.add({
      kind: 'device.attached',
      level: 'info',
      resource: settings.name,
      group: group.name,
      message: `${settings.name} is ${attached.path} (${driver.kind})`,
    });
  }

  /** @throws DiskError `device-held` when something of a member cannot be removed */
  async detach(group: GroupSettings, members: readonly Member[]): Promise<void> {
    const driver = await this.#driver(this.#kind(group));
    await all(
      members.map(async ({ settings }) => {
        if (!this.#isExportOnly(settings.name)) await this.#detachWith(driver, settings.name);
        this.#attached.delete(settings.name);
      }),
    );
    this.#changed();
    for (const { settings } of members) {
      const what = this.#inTheWay.get(settings.name);
      if (what !== undefined) throw new DiskError('device-held', `${settings.name}: ${what}`);
    }
  }

  /** Nothing was made here but the export, which the engine closes: there is nothing to look for while clients wait. */
  #isExportOnly(resource: string): boolean {
    const attached = this.#attached.get(resource);
    return attached?.path === null && attached.cleanup.length === 0 && !this.#inTheWay.has(resource);
  }

  path(resource: string): string | null {
    return this.#attached.get(resource)?.path ?? null;
  }

  cleanupActions(): CleanupAction[] {
    return [...this.#attached.values()].flatMap(({ cleanup }) => cleanup);
  }
}
